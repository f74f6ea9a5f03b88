"""Other programs, which show an API key: what it allows, everywhere, and what it does not."""

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from signalpost.testing import serve

KEY, OTHER = "k" * 32, "o" * 32
APP = f"""
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}}
  - {{name: live, address: 127.0.0.1, port: 0, protocol: ws}}
undeclared: refuse
auth:
  keys:
    shop: {{key: {KEY}, may: [publish]}}
    desk: {{key: {OTHER}, may: [history]}}
routes: [{{path: /of-users, may: users, do: [{{respond: {{text: "{{{{ user }}}}"}}}}]}}]
signals:
  - {{path: /board, rebroadcast: path, history: 10, may: {{connect: anyone, publish: nobody, target: nobody}}}}
  - {{path: /closed, may: {{connect: nobody}}}}
"""


async def post(app, path, json, key=None, **headers):
    bearer = {} if key is None else {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(trust_env=False) as web:
        return await web.post(app.url("web") + path, json=json, headers={**bearer, **headers})


async def test_a_program_publishes_where_its_key_lets_it_whatever_the_signal_says():
    async with serve(APP) as app, app.connect("/board", endpoint="live") as reader:
        assert (await post(app, "/board", {"message": "no"})).status_code == 403
        assert (await post(app, "/board", {"message": "no"}, OTHER)).status_code == 403
        assert (await post(app, "/board", {"message": "sold out"}, KEY)).status_code == 202
        assert await reader.receive() == "sold out"
        assert (await post(app, "/closed", {"message": "to a path", "path": "/board"}, KEY)).status_code == 202
        assert await reader.receive() == "to a path"


async def test_a_program_reads_the_history_only_if_its_key_lets_it():
    async with serve(APP) as app:
        await post(app, "/board", {"message": "kept"}, KEY)
        asked = {"signalpost": {"history": {}}}
        answer = await post(app, "/board", asked, OTHER)
        assert [each["value"] for each in answer.json()["history"]["signals"]] == ["kept"]
        assert (await post(app, "/board", asked, KEY)).status_code == 403


async def test_a_key_for_some_paths_allows_nothing_by_post_to_signals_where_a_message_may_go_anywhere():
    narrowed = APP.replace("may: [publish]}", "may: [publish, history], paths: [/board]}")
    async with serve(narrowed) as app:
        assert app.server.plan.config.auth.api_keys[0].paths
        assert (await post(app, "/board", {"message": "no"}, KEY)).status_code == 403
        assert (await post(app, "/board", {"signalpost": {"history": {}}}, KEY)).status_code == 403


async def test_a_key_is_for_posts_alone_and_makes_no_user():
    async with serve(APP) as app:
        headers = {"authorization": f"Bearer {KEY}"}
        with pytest.raises(InvalidStatus) as caught:
            await app.connect("/closed", endpoint="live", additional_headers=headers).__aenter__()
        assert caught.value.response.status_code == 403
        assert (await post(app, "/of-users", {}, KEY)).status_code == 403
        assert (await post(app, "/of-users", {})).status_code == 401


@pytest.mark.parametrize("key", [KEY[:-1], KEY + "k", KEY.upper()])
async def test_what_is_almost_a_key_is_none(key):
    async with serve(APP) as app:
        assert (await post(app, "/board", {"message": "no"}, key)).status_code in (401, 403)


async def test_what_is_neither_a_key_nor_a_token_is_called_so():
    secret = "mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3F"
    taking = APP.replace("auth:\n", f"auth:\n  tokens: {{keys: {{secret: {secret}}}, algorithms: [HS256]}}\n")
    async with serve(taking) as app:
        answer = await post(app, "/board", {"message": "no"}, KEY.upper())
        assert answer.status_code == 401
        assert answer.json()["error"]["detail"] == "this is neither an API key that this server knows nor a token"
        answer = await post(app, "/board", {"message": "no"}, "a.b.c")
        assert answer.json()["error"]["detail"].startswith("the token ")


async def test_a_key_counts_in_its_header_alone():
    async with serve(APP) as app:
        answer = await post(app, "/board", {"message": "no"}, cookie=f"key={KEY}")
        assert answer.status_code == 403
        answer = await post(app, f"/board?token={KEY}", {"message": "no"})
        assert answer.status_code == 403


MORE = f"""
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}}
  - {{name: live, address: 127.0.0.1, port: 0, protocol: ws}}
undeclared: refuse
auth: {{keys: {{desk: {{key: {OTHER}, may: [history]}}, shop: {{key: {KEY}, may: [publish]}}}}}}
signals:
  - {{path: /said-by-nobody, rebroadcast: path, targets: [path], may: {{connect: anyone}}}}
  - {{path: /frames, rebroadcast: path, format: raw, may: {{connect: anyone}}}}
"""


async def test_a_key_that_does_not_allow_to_publish_does_not_where_the_signal_leaves_it_open():
    async with serve(MORE) as app, app.connect("/said-by-nobody", endpoint="live") as reader:
        assert (await post(app, "/said-by-nobody", {"message": "no"}, OTHER)).status_code == 403
        assert (await post(app, "/frames", {"message": "no"}, OTHER)).status_code == 403
        assert (await post(app, "/said-by-nobody", {"message": "yes"}, KEY)).status_code == 202
        assert await reader.receive() == "yes"


async def test_a_key_opens_no_socket_and_no_stream_even_where_anyone_may_connect():
    headers = {"authorization": f"Bearer {KEY}"}
    async with serve(MORE) as app:
        with pytest.raises(InvalidStatus) as caught:
            await app.connect("/said-by-nobody", endpoint="live", additional_headers=headers).__aenter__()
        assert caught.value.response.status_code == 403
        async with httpx.AsyncClient(trust_env=False) as web:
            stream = {"accept": "text/event-stream", **headers}
            assert (await web.get(app.url("web") + "/said-by-nobody", headers=stream)).status_code == 403

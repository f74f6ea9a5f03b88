"""The API for other programs: what it does, whom it obeys, and whether it answers as its document says."""

import asyncio

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.api.conftest import READER, ROOMS, SHOP, TEXT, Program
from websockets.exceptions import ConnectionClosed

from signalpost.operations.table import OPERATIONS
from signalpost.testing import serve


def codes(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("pointer", "")


async def test_the_document_is_openapi_and_names_every_operation(api):
    async with api() as (_, program):
        document = (await program("").ask("GET", "openapi.json")).json()
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["paths"]) == {f"/{name}" for name in OPERATIONS} | {"/openapi.json"}
    assert SHOP not in str(document)


async def test_clients_on_a_path_that_is_longer_than_an_argument_may_be_are_told(api):
    long = f"/rooms/{'x' * 2_000}"
    async with api() as (app, program), app.connect(long):
        (client,) = (await program().get("clients")).json()["clients"]
        assert client["path"] == long
        assert codes(await program().get("clients", path=long)) == (400, "bad-request", "/path")


class TestPublish:
    async def test_a_value_reaches_the_clients_of_its_path_and_its_position_is_that_of_the_history(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as blue, app.connect("/rooms/red") as red:
            answer = await program().post("publish", value={"a": 1}, path="/rooms/blue")
            assert answer.status_code == 202
            assert await blue.receive_json() == {"a": 1}
            kept = (await program().get("history", path="/rooms/blue")).json()
            assert answer.json() == {"matched": 1, "at": kept["at"]}
            await program().post("publish", value="all", to="everyone")
            assert [await blue.receive(), await red.receive()] == ["all", "all"]

    async def test_a_group_a_client_and_their_intersection_are_targets(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as one, app.connect("/rooms/blue") as two:
            assert (await program().post("join", client=one.id, group="vip")).json()["matched"] == 1
            for whom in ({"group": "vip"}, {"client": one.id}, {"path": "/rooms/blue", "group": "vip"}):
                assert (await program().post("publish", value=str(whom), **whom)).json() == {"matched": 1}
                assert await one.receive() == str(whom)
            assert (await program().post("leave", client=one.id, group="vip")).json()["matched"] == 1
            assert (await program().post("publish", value=1, group="vip")).json() == {"matched": 0}
            assert (await program().post("publish", value="end", client=two.id)).json() == {"matched": 1}
            assert await two.receive() == "end"

    async def test_a_list_is_sent_in_its_order_and_each_value_has_its_answer(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as client:
            items = [{"value": n, "path": "/rooms/blue"} for n in range(1, 6)]
            answers = (await program().post("publish", items)).json()
            assert [await client.receive_json() for _ in items] == [1, 2, 3, 4, 5]
            kept = (await program().get("history", path="/rooms/blue")).json()
            assert [each["at"] for each in answers] == [each["at"] for each in kept["signals"]]

    async def test_nothing_of_a_list_is_sent_if_one_of_it_has_a_mistake(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as client:
            items = [{"value": 1, "path": "/rooms/blue"}, {"value": 2, "path": ""}]
            assert codes(await program().post("publish", items)) == (400, "bad-request", "/1/path")
            items[1] = {"value": 2, "path": "/plain"}
            assert codes(await program(ROOMS).post("publish", items)) == (403, "forbidden", "/1/path")
            await program().post("publish", value="end", path="/rooms/blue")
            assert await client.receive() == "end"

    async def test_a_value_with_a_known_once_is_not_sent_again(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as client:
            first = (await program().post("publish", value=1, path="/rooms/blue", once="x")).json()
            again = (await program().post("publish", value=2, path="/rooms/blue", once="x")).json()
            assert again == {**first, "again": True}
            other = (await program(ROOMS).post("publish", value=3, path="/rooms/blue", once="x")).json()
            assert "again" not in other
            assert [await client.receive_json(), await client.receive_json()] == [1, 3]

    async def test_a_value_that_broadest_or_a_filter_refuses_is_told_at_its_place_in_a_list(self, api):
        plugin = """
            from signalpost import Veto, hookimpl

            @hookimpl
            def filter_broadcast(outgoing):
                if outgoing.value == "bad":
                    raise Veto("rude", "Be nice.")
        """
        async with (
            api("broadest: path\n" + TEXT, plugins={"nice": plugin}) as (app, program),
            app.connect("/rooms/blue") as client,
        ):
            paths = {"path": "/rooms/blue"}
            items = [{"value": "bad", **paths}, {"value": 1, "to": "everyone"}, {"value": 2, **paths}]
            bad, broad, good = (await program().post("publish", items)).json()
            assert bad == {"error": {"code": "rude", "detail": "Be nice."}}
            assert broad["error"]["code"] == "forbidden"
            assert good["matched"] == 1
            assert await client.receive_json() == 2
            assert codes(await program().post("publish", items[0])) == (422, "rude", "")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"value": 1}, ""),
            ({"path": "/plain"}, ""),
            ({"value": None, "path": "/plain"}, "/value"),
            ({"value": "", "path": "/plain"}, "/value"),
            ({"value": 1, "to": "everyone", "path": "/plain"}, "/to"),
            ({"value": 1, "to": "others"}, "/to"),
            ({"value": 1, "path": 3}, "/path"),
            ({"value": 1, "path": "/plain", "pth": 1}, ""),
            ([], ""),
            ("text", ""),
        ],
    )
    async def test_a_mistake_is_told_at_its_place(self, api, body, pointer):
        async with api() as (_, program):
            assert codes(await program().post("publish", body)) == (400, "bad-request", pointer)


EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "sold", "subject": "/rooms/blue", "data": [7]}


class TestCloudEvents:
    async def test_events_are_published_once_structured_and_batched(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as client:
            asking = program()
            kind = {"content-type": "application/cloudevents+json; charset=utf-8"}
            assert (await asking.post("publish", EVENT, headers=kind)).json()["matched"] == 1
            kind = {"content-type": "application/cloudevents-batch+json"}
            events = [EVENT, {**EVENT, "id": "2", "data": "next"}]
            again, new = (await asking.post("publish", events, headers=kind)).json()
            assert again["again"] is True
            assert "again" not in new
            assert [await client.receive_json(), await client.receive()] == [[7], "next"]

    async def test_an_event_of_another_version_or_without_a_subject_is_refused(self, api):
        kind = {"content-type": "application/cloudevents+json"}
        async with api() as (_, program):
            old = {**EVENT, "specversion": "0.3"}
            assert codes(await program().post("publish", old, headers=kind)) == (400, "bad-request", "/specversion")
            whole = {name: value for name, value in EVENT.items() if name != "subject"}
            assert (await program().post("publish", whole, headers=kind)).status_code == 400


class TestReading:
    async def test_a_history_is_read_from_either_side(self, api):
        async with api() as (_, program):
            await program().post("publish", [{"value": n, "path": "/rooms/blue"} for n in range(1, 6)])
            page = (await program().get("history", path="/rooms/blue", limit=2)).json()
            assert [each["value"] for each in page["signals"]] == [4, 5]
            assert page["more"] is True
            first = page["signals"][0]["at"]
            earlier = (await program().get("history", path="/rooms/blue", before=first, limit=9)).json()
            assert [each["value"] for each in earlier["signals"]] == [1, 2, 3]
            later = (await program().get("history", path="/rooms/blue", after=first)).json()
            assert [each["value"] for each in later["signals"]] == [5]
            none = await program().get("history", path="/rooms/blue", after=first, before=first)
            assert codes(none) == (400, "bad-request", "/after")
            assert codes(await program().get("history", path="/plain")) == (404, "not-found", "/path")
            assert codes(await program().get("history", path="/rooms/blue", after="?")) == (
                400,
                "bad-request",
                "/after",
            )
            assert codes(await program().get("history", path="/rooms/blue", limit="x"))[2] == "/limit"
            gone = await program().get("history", path="/rooms/blue", after=f"xxxxxx{first[6:]}")
            assert codes(gone) == (410, "unknown-position", "/after")

    async def test_who_is_present_and_who_is_connected_is_told_page_by_page(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as one, app.connect("/rooms/blue") as two:
            users = (await program().get("presence", path="/rooms/blue")).json()
            assert users["count"] == 2
            rest = (await program().get("presence", path="/rooms/blue", after=users["users"][0]["user"])).json()
            assert rest["users"] == users["users"][1:]
            assert codes(await program().get("presence", path="/plain")) == (404, "not-found", "/path")
            first = (await program().get("clients", path="/rooms/blue", limit=1)).json()
            assert (first["count"], first["complete"]) == (2, True)
            second = (await program().get("clients", after=first["clients"][0]["id"])).json()
            assert [each["id"] for each in first["clients"] + second["clients"]] == sorted([one.id, two.id])

    async def test_a_node_says_who_it_is_and_what_its_plan_is(self, api):
        async with api() as (_, program):
            info = (await program(READER).get("info")).json()
            assert [each["node"] for each in info["nodes"]] == [info["node"]]
            assert info["nodes"][0]["plan"]["signals"]
            assert info["same_plan"] is True


class TestModeration:
    async def test_a_client_is_disconnected_with_a_code_and_a_reason(self, api):
        async with api() as (app, program), app.connect("/plain") as client:
            body = {"client": client.id, "code": 4_321, "reason": "bye"}
            assert (await program().post("disconnect", body)).json() == {"matched": 1}
            with pytest.raises(ConnectionClosed) as caught:
                await client.receive()
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4_321, "bye")
            assert codes(await program().post("disconnect", {})) == (400, "bad-request", "")
            assert codes(await program().post("disconnect", path="/x", code=1_005)) == (400, "bad-request", "/code")

    async def test_tokens_are_revoked_by_user_or_by_id(self, api):
        async with api() as (app, program):
            assert (await program().post("revoke", user="ann", seconds=60)).json() == {"matched": 0}
            assert (await program().post("revoke", token_id="t1")).json() == {"matched": 0}
            assert app.server.node.moderation.revocations.rows().keys()
            assert codes(await program().post("revoke", user="ann", token_id="t1")) == (400, "bad-request", "/token_id")
            assert codes(await program().post("revoke", user="ann", before=-5))[0] == 400


class TestKeys:
    async def test_nothing_is_answered_without_a_good_key(self, api):
        async with api() as (_, program):
            for key in ("", "x" * 32, SHOP + "x"):
                for name, operation in OPERATIONS.items():
                    ask = program(key).get if operation.reads else program(key).post
                    answer = await ask(name)
                    assert codes(answer) == (401, "unauthorized", "")
                    assert answer.headers["www-authenticate"] == "Bearer"

    async def test_a_key_allows_what_its_may_says_and_nothing_else(self, api):
        async with api() as (_, program):
            for name, operation in OPERATIONS.items():
                ask = program(READER).get if operation.reads else program(READER).post
                answer = await ask(name)
                assert (answer.status_code == 403) == (name not in {"history", "info"}), name

    async def test_a_key_for_some_paths_reaches_no_others(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as inside, app.connect("/plain") as outside:
            asking = program(ROOMS)
            assert (await asking.post("publish", value=1, path="/Rooms/blue")).status_code == 202
            assert await inside.receive_json() == 1
            for whom in ({"path": "/plain"}, {"to": "everyone"}, {"user": "ann"}, {"client": outside.id}):
                assert (await asking.post("publish", value=2, **whom)).status_code == 403
                if "to" not in whom:
                    assert (await asking.post("disconnect", **whom)).status_code == 403
                    assert (await asking.post("join", group="g", **whom)).status_code == 403
            for name in ("history", "presence", "clients"):
                assert (await asking.get(name, path="/plain")).status_code == 403
                assert (await asking.get(name, path="/rooms/blue")).status_code == 200
            assert (await asking.get("clients")).status_code == 403
            assert (await asking.post("revoke", user="ann")).status_code == 403

    async def test_a_key_that_asks_too_often_waits_and_others_do_not(self, api):
        async with api(TEXT.replace("api: {}", "api: {rate: 2/h}")) as (_, program):
            answers = [(await program().get("info")).status_code for _ in range(3)]
            assert answers == [200, 200, 429]
            assert (await program(READER).get("info")).status_code == 200


class TestIdempotency:
    async def test_a_repeated_request_does_nothing_and_is_answered_alike(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as client:
            asking, once = program(), {"idempotency-key": "k1"}
            first = await asking.post("publish", value=1, path="/rooms/blue", headers=once)
            again = await asking.post("publish", value=1, path="/rooms/blue", headers=once)
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.headers["idempotency-replayed"] == "true"
            other = await asking.post("publish", value=2, path="/rooms/blue", headers=once)
            assert codes(other) == (422, "idempotency-key-reused", "")
            assert (await program(ROOMS).post("publish", value=3, path="/rooms/blue", headers=once)).status_code == 202
            assert [await client.receive_json(), await client.receive_json()] == [1, 3]

    async def test_a_reload_forgets_no_answer(self, api):
        async with api() as (app, program), app.connect("/rooms/blue") as client:
            asking, once = program(), {"idempotency-key": "k1"}
            await asking.post("publish", value=1, path="/rooms/blue", headers=once)
            await app.reload(TEXT.replace("/plain", "/other"))
            again = await asking.post("publish", value=1, path="/rooms/blue", headers=once)
            assert again.headers["idempotency-replayed"] == "true"
            await asking.post("publish", value=2, path="/rooms/blue")
            assert [await client.receive_json(), await client.receive_json()] == [1, 2]


async def test_requests_at_the_same_time_are_all_answered(api):
    async with api() as (_, program):
        asking = program()
        await asking.get("info")
        bodies = [{"value": n, "path": "/rooms/blue", "once": "same"} for n in range(1, 9)]
        answers = await asyncio.gather(*(asking.post("publish", body) for body in bodies))
        assert sum("again" not in each.json() for each in answers) == 1


async def test_an_app_without_the_key_has_no_api_and_a_reload_brings_one(api):
    without = TEXT.replace("api: {}\n", "")
    async with serve(without) as app, httpx.AsyncClient(base_url=app.url("web")) as http:
        assert (await http.get("/api/openapi.json")).status_code == 404
        assert str((await app.reload(TEXT)).changes) == "~api"
        assert (await Program(http, SHOP).get("info")).status_code == 200
        await app.reload(TEXT.replace(SHOP, "n" * 32))
        assert (await Program(http, SHOP).get("info")).status_code == 401


async def test_pages_of_other_sites_may_change_nothing(api):
    async with api() as (_, program):
        foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        answer = await program().post("publish", value=1, path="/plain", headers=foreign)
        assert answer.status_code == 403

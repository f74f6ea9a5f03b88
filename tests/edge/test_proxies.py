"""Behind a proxy that is trusted, the client is the one that the proxy reports, whichever way it comes in."""

import httpx

from signalpost.testing import serve

SAID = {"X-Forwarded-For": "203.0.113.7:4711", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example"}
HOSTS = "hosts: [chat.example], proxies"


async def test_a_trusted_proxy_says_who_the_client_is_to_handlers_of_both_kinds(routes, plugin, http):
    text = routes().replace("proxies", HOSTS)
    async with serve(text, plugins=plugin) as app, app.connect("/live-who", additional_headers=SAID) as client:
        await client.send("?")
        assert await client.receive_json() == {"peer": ["203.0.113.7", 4711], "scheme": "https", "host": "chat.example"}
        assert (await http(app, "/web-who", SAID)).json() == {
            "ip": "203.0.113.7",
            "port": 4711,
            "remote_addr": "203.0.113.7",
            "client_ip": "203.0.113.7",
            "scheme": "https",
            "host": "chat.example",
            "url": "https://chat.example/web-who",
        }


async def test_nobody_else_says_who_the_client_is(routes, plugin, http):
    text = routes("[192.0.2.1, 10.0.0.0/8]").replace("proxies", HOSTS)
    async with serve(text, plugins=plugin) as app, app.connect("/live-who", additional_headers=SAID) as client:
        await client.send("?")
        told = await client.receive_json()
        assert told["peer"] == list(client.socket.local_address)
        assert (told["scheme"], told["host"]) == ("http", app.url().removeprefix("ws://"))
        told = (await http(app, "/web-who", SAID)).json()
        assert (told["ip"], told["remote_addr"], told["scheme"]) == ("127.0.0.1", "", "http")
        assert told["host"] == app.url("web").removeprefix("http://")


TOLD = '["203.0.113.7",4711] https chat.example'


async def test_templates_see_the_client_whichever_way_it_comes_in(routes, plugin, http):
    text = routes().replace("proxies", HOSTS)
    async with serve(text, plugins=plugin) as app, app.connect("/who", additional_headers=SAID) as client:
        await client.send("?")
        assert await client.receive() == TOLD
        assert (await http(app, "/steps", SAID)).text == TOLD
        posted = await http(app, "/who", SAID, method="POST", json={"message": "?"})
        assert posted.json()["reply"]["value"] == TOLD
        # A head that is not ASCII goes another way.
        async with app.connect("/who", additional_headers={**SAID, "X-Name": "Zoë"}) as other:
            await other.send("?")
            assert await other.receive() == TOLD


async def test_event_streams_see_the_client_too(routes, http, plain_stream):
    async with serve(routes().replace("proxies", HOSTS)) as app:
        assert await plain_stream(app, "/hello", SAID) == f"data: {TOLD}"


OWN_PAGE = {"Host": "app.internal", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example"}
INTERNAL = "hosts: [chat.example, app.internal], proxies"


async def test_a_page_of_the_public_host_is_the_apps_own_where_the_proxy_asks_by_another_name(routes, http, shake):
    async with serve(routes().replace("proxies", INTERNAL)) as app:
        own, internal = "https://chat.example", "http://app.internal"
        assert await shake(app, "/chat", {**OWN_PAGE, "Origin": own}) == 101
        assert await shake(app, "/chat", {**OWN_PAGE, "Origin": internal}) == 403
        for path, options in (("/steps", {}), ("/chat", {"json": {"message": 1}})):
            told = [
                (await http(app, path, {**OWN_PAGE, "Origin": origin}, method="POST", **options)).status_code
                for origin in (own, internal)
            ]
            assert told[0] in {200, 202}
            assert told[1] == 403


async def test_the_port_that_the_proxy_names_is_the_only_one_whose_pages_are_its_own(routes, shake):
    said = {"Host": "chat.example", "X-Forwarded-Port": "8443"}
    async with serve(routes().replace("proxies", HOSTS)) as app:
        assert await shake(app, "/chat", {**said, "Origin": "https://chat.example:8443"}) == 101
        assert await shake(app, "/chat", {**said, "Origin": "https://chat.example:9443"}) == 403


async def test_a_host_that_is_said_does_not_hide_the_one_that_was_asked_for(routes, http, shake):
    rebound = {"Host": "evil.example", "X-Forwarded-Host": "chat.example"}
    async with serve(routes().replace("proxies", HOSTS)) as app:
        assert (await http(app, "/steps", rebound)).status_code == 421
        assert await shake(app, "/chat", rebound) == 421
        unlisted = {"Host": "chat.example", "X-Forwarded-Host": "evil.example"}
        assert (await http(app, "/steps", unlisted)).status_code == 421
        assert await shake(app, "/chat", unlisted) == 421


async def test_pages_behind_a_proxy_find_the_signals_at_their_own_address(routes, http):
    async with serve(routes()) as app:
        assert (await http(app, "/.well-known/signalpost")).json()["url"] == app.url("live")
        told = (await http(app, "/.well-known/signalpost", {"X-Forwarded-Host": "localhost:1"})).json()
        assert told["url"] is None


async def test_a_reload_applies_to_connections_that_are_open(routes, http):
    async with serve(routes("[192.0.2.1]").replace("proxies", HOSTS)) as app:
        assert "127.0.0.1" in (await http(app, "/steps", SAID)).text
        await app.reload(routes().replace("proxies", HOSTS))
        assert (await http(app, "/steps", SAID)).text == TOLD


async def test_whoever_connects_to_a_unix_socket_is_believed_if_that_is_listed(routes, tmp_path):
    for proxies, peer in (("[unix]", '["203.0.113.7",4711]'), ("[]", '["",0]')):
        text = routes(proxies).replace("address: 127.0.0.1, port: 0", 'address: "unix:app.sock"')
        async with serve(text, folder=tmp_path):
            transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "app.sock"))
            async with httpx.AsyncClient(transport=transport, base_url="http://chat.example") as client:
                assert (await client.get("/steps", headers=SAID)).text.startswith(peer)


async def test_an_app_that_lists_no_proxy_reads_no_header(routes, http, monkeypatch):
    def fail(*_):
        raise AssertionError("a header was read")

    monkeypatch.setattr("signalpost.edge.forwarded.public_view", fail)
    text = routes("[]")
    async with serve(text) as app, app.connect("/chat", additional_headers=SAID):
        assert (await http(app, "/steps", SAID)).status_code == 200
        assert (await http(app, "/chat", SAID, method="POST", json={"message": 1})).status_code == 202

"""Behind a proxy that is trusted, the client is the one that the proxy reports, whichever way it comes in."""

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

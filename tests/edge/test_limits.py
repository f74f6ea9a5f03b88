"""Limits of one address: how many connections it has, how often it opens them, and how often it asks."""

import asyncio
import logging

import httpx
import pytest

from signalpost.node import Seams
from signalpost.observe import Observer
from signalpost.testing import serve

pytestmark = pytest.mark.usefixtures("clock")


class Counts(Observer):
    def __init__(self):
        self.limits = []

    def limited(self, limit, endpoint):
        self.limits.append((limit, endpoint))


def says(address):
    """Return the headers by which a proxy says who its client is."""
    return {"X-Forwarded-For": address}


def limits(text):
    return f"limits: {{per_address: {{{text}}}}}\n"


async def settled(app, connections):
    while len(app.server.node.limiter.addresses) > connections:  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0.001)


class TestConnections:
    async def test_one_more_than_allowed_is_429_until_one_has_gone(self, routes, refused, caplog):
        counts = Counts()
        text = routes(more=limits("connections: 2"))
        async with serve(text, seams=Seams(observer=counts)) as app:
            async with app.connect("/chat"), app.connect("/chat") as second:
                response = await refused(app, "/chat")
                assert (response.status_code, response.headers["retry-after"]) == (429, "5")
                assert b"too many connections from this address" in response.body
                async with app.connect("/chat", additional_headers=says("203.0.113.7")):
                    pass
                await second.close()
                await settled(app, 1)
                async with app.connect("/chat"):
                    pass
            await settled(app, 0)
        assert counts.limits == [("connections", "live")]
        assert "connections of 127.0.0.1 were refused (429): limits.per_address.connections is 2" in caplog.text

    async def test_event_streams_and_websockets_count_together_and_posts_do_not_count(self, routes, http, refused):
        async with serve(routes(more=limits("connections: 2"))) as app, app.connect("/chat"):
            stream = {"Accept": "text/event-stream"}
            async with httpx.AsyncClient(trust_env=False) as client:
                async with client.stream("GET", app.url("web") + "/chat", headers=stream) as answer:
                    assert answer.status_code == 200
                    assert (await http(app, "/chat", stream)).status_code == 429
                    assert (await refused(app, "/chat")).status_code == 429
                    assert (await http(app, "/chat", method="POST", json={"message": 1})).status_code == 202
                await settled(app, 1)
            async with app.connect("/chat"):
                pass

    async def test_addresses_of_one_network_of_64_bits_count_as_one(self, routes, refused):
        async with (
            serve(routes(more=limits("connections: 1"))) as app,
            app.connect("/chat", additional_headers=says("2001:db8::1")),
            app.connect("/chat", additional_headers=says("2001:db8:0:1::1")),
        ):
            near = says("2001:db8::ffff:ffff:ffff:ffff")
            assert (await refused(app, "/chat", additional_headers=near)).status_code == 429

    async def test_a_reload_applies_at_once_to_those_that_are_connected(self, routes, refused):
        async with serve(routes()) as app, app.connect("/chat"), app.connect("/chat") as second:
            await app.reload(routes(more=limits("connections: 2")))
            assert (await refused(app, "/chat")).status_code == 429
            await app.reload(routes(more=limits("connections: 3")))
            async with app.connect("/chat"):
                assert (await refused(app, "/chat")).status_code == 429
            await second.close()
            await settled(app, 1)
            await app.reload(routes())
            assert len(app.server.node.limiter.addresses) == 0

    async def test_whoever_waits_for_an_admission_hook_counts(self, routes, refused):
        gate = asyncio.Event()

        async def hook(_request):
            await gate.wait()

        text = routes(more=limits("connections: 1"))
        async with serve(text, seams=Seams(admission=[hook])) as app:
            first = asyncio.create_task(asyncio.wait_for(_connected(app), 10))
            while not app.server.node.admitter.waiting:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.001)
            assert (await refused(app, "/chat")).status_code == 429
            gate.set()
            await first
            await settled(app, 0)


async def _connected(app):
    async with app.connect("/chat"):
        pass


class TestHandshakes:
    @pytest.mark.parametrize("headers", [{}, {"X-Name": "Zoë"}], ids=["in the fast way", "in Sanic's way"])
    async def test_they_are_429_beyond_the_rate_until_time_has_passed(self, routes, refused, clock, headers):
        async with serve(routes(more=limits("handshakes: 6/m"))) as app:
            for _ in range(6):
                async with app.connect("/chat", additional_headers=headers):
                    pass
            response = await refused(app, "/chat", additional_headers=headers)
            assert (response.status_code, response.headers["retry-after"]) == (429, "10")
            clock[0] += 10
            async with app.connect("/chat", additional_headers=headers):
                pass
            assert (await refused(app, "/chat", additional_headers=headers)).status_code == 429

    async def test_what_is_refused_for_another_reason_counts_once(self, routes, refused):
        text = routes(more=limits("handshakes: 3/m") + "undeclared: refuse\n")
        async with serve(text) as app:
            assert (await refused(app, "/nowhere")).status_code == 404
            assert (await refused(app, "/chat", origin="https://evil.example")).status_code == 403
            async with app.connect("/chat"):
                pass
            assert (await refused(app, "/nowhere")).status_code == 429

    async def test_event_streams_count_and_so_does_what_asks_without_a_handshake(self, routes, http, refused):
        async with serve(routes(more=limits("handshakes: 1/m"))) as app:
            async with httpx.AsyncClient(trust_env=False) as client:
                stream = {"Accept": "text/event-stream"}
                async with client.stream("GET", app.url("web") + "/chat", headers=stream) as answer:
                    assert answer.status_code == 200
                assert (await http(app, "/chat", stream)).status_code == 429
            assert (await refused(app, "/chat")).status_code == 429
            async with app.connect("/chat", additional_headers=says("203.0.113.7")):
                pass

    async def test_they_are_refused_before_anything_else_is_asked(self, routes, refused):
        asked = []
        text = routes(more=limits("handshakes: 1/m"))
        async with serve(text, seams=Seams(admission=[asked.append])) as app:
            async with app.connect("/chat"):
                pass
            assert (await refused(app, "/chat")).status_code == 429
        assert len(asked) == 1

    async def test_a_reload_applies_at_once(self, routes, refused):
        async with serve(routes(more=limits("handshakes: 1/h"))) as app:
            async with app.connect("/chat"):
                pass
            assert (await refused(app, "/chat")).status_code == 429
            await app.reload(routes(more=limits("handshakes: 1/s")))
            async with app.connect("/chat"):
                pass


class TestRequests:
    async def test_routes_signals_and_what_does_not_exist_count_together(self, routes, http, clock, caplog):
        counts = Counts()
        text = routes(more=limits("requests: 4/m"))
        async with serve(text, seams=Seams(observer=counts)) as app:
            answers = [
                await http(app, "/steps"),
                await http(app, "/nothing"),
                await http(app, "/chat", method="POST", json={"message": 1}),
                await http(app, "/.well-known/signalpost"),
                await http(app, "/steps"),
            ]
            assert [answer.status_code for answer in answers] == [200, 404, 202, 200, 429]
            assert answers[-1].headers["retry-after"] == "15"
            assert answers[-1].json()["error"]["code"] == "too-many-requests"
            assert (await http(app, "/steps", says("203.0.113.7"))).status_code == 200
            async with app.connect("/chat"):
                pass
            clock[0] += 15
            assert (await http(app, "/steps")).status_code == 200
        assert counts.limits == [("requests", "web")]
        assert (
            "endpoint web: requests of 127.0.0.1 were refused (429): limits.per_address.requests is 4/m" in caplog.text
        )


class TestRoutes:
    async def test_a_route_has_a_rate_for_each_address(self, routes, http, clock, caplog):
        text = routes(more="").replace("path: /steps,", "path: /steps, rate: 2/m,")
        async with serve(text) as app:
            statuses = [(await http(app, "/steps", method=method)).status_code for method in ("GET", "POST", "GET")]
            assert statuses == [200, 200, 429]
            answer = await http(app, "/steps", method="POST")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
            assert (await http(app, "/steps", says("203.0.113.7"))).status_code == 200
            assert (await http(app, "/.well-known/signalpost")).status_code == 200
            clock[0] += 30
            assert (await http(app, "/steps")).status_code == 200
        assert "requests of 127.0.0.1 for GET|POST /steps were refused (429): its rate is 2/m" in caplog.text

    async def test_a_rate_of_the_whole_route_counts_all(self, routes, http):
        text = routes().replace("path: /steps,", "path: /steps, rate: {requests: 1/m, per: route},")
        async with serve(text) as app:
            assert (await http(app, "/steps")).status_code == 200
            assert (await http(app, "/steps", says("203.0.113.7"))).status_code == 429

    async def test_guests_are_counted_by_address_where_users_are_counted(self, routes, http):
        text = routes().replace("path: /steps,", "path: /steps, rate: {requests: 1/m, per: user},")
        async with serve(text) as app:
            assert (await http(app, "/steps")).status_code == 200
            assert (await http(app, "/steps")).status_code == 429
            assert (await http(app, "/steps", says("203.0.113.7"))).status_code == 200

    async def test_a_route_at_two_endpoints_has_one_rate(self, routes, http):
        text = routes().replace("path: /steps,", "path: /steps, rate: 1/m,")
        text = text.replace("endpoints: [", "endpoints: [{name: more, address: 127.0.0.1, port: 0, protocol: http}, ")
        async with serve(text) as app, httpx.AsyncClient(trust_env=False) as client:
            assert (await http(app, "/steps")).status_code == 200
            assert (await client.get(app.url("more") + "/steps")).status_code == 429

    async def test_a_reload_that_leaves_the_rate_as_it_is_leaves_the_counts(self, routes, http):
        text = routes().replace("path: /steps,", "path: /steps, rate: 1/m,")
        async with serve(text) as app:
            assert (await http(app, "/steps")).status_code == 200
            await app.reload(text + "undeclared: refuse\n")
            assert (await http(app, "/steps")).status_code == 429
            await app.reload(text.replace("1/m", "2/m"))
            assert (await http(app, "/steps")).status_code == 200

    async def test_a_page_of_another_origin_does_not_use_up_what_its_victim_may_ask(self, routes, http):
        text = routes().replace("path: /steps,", "path: /steps, rate: 1/m,")
        async with serve(text) as app:
            forged = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
            assert (await http(app, "/steps", forged, method="POST")).status_code == 403
            assert (await http(app, "/steps", method="POST")).status_code == 200


async def test_thousands_of_refusals_are_a_few_lines_in_the_log(routes, http, caplog):
    async with serve(routes(more=limits("requests: 1/h"))) as app:
        with caplog.at_level(logging.WARNING, "signalpost"):
            for _ in range(200):
                await http(app, "/steps")
    assert 1 <= len([record for record in caplog.records if "(429)" in record.message]) < 20


async def test_an_app_without_limits_keeps_nothing(routes, http):
    async with serve(routes()) as app, app.connect("/chat"):
        await http(app, "/steps")
        limiter = app.server.node.limiter
        assert len(limiter.addresses) == len(limiter.users) == 0
        assert not limiter.counts_handshakes
        assert not limiter.counts_requests

"""Health and readiness: what an orchestrator or a load balancer is told."""

import asyncio

import httpx

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.node import Seams
from signalpost.testing import serve

APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: ops, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals: [{path: /chat}]
monitor: {endpoint: ops, health: /health}
"""


async def ask(app, path, endpoint="ops"):
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(app.url(endpoint) + path)
    return answer.status_code, answer.json()


async def test_a_server_that_serves_is_healthy_and_ready():
    async with serve(APP) as app:
        assert await ask(app, "/health") == (200, {"status": "ok"})
        assert await ask(app, "/health/ready") == (200, {"status": "ok"})


async def test_health_is_at_its_own_endpoint_only_and_is_not_cached():
    async with serve(APP) as app:
        assert (await ask(app, "/health", "web"))[0] == 404
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(app.url("ops") + "/health")).headers["cache-control"] == "no-store"


async def test_health_alone_counts_nothing():
    async with serve(APP) as app:
        assert not app.server.node.counts.on
        assert app.server.node.observer is None


async def test_a_node_whose_backplane_is_away_is_healthy_and_not_ready():
    backplane = MemoryBackplane(MemoryServer())
    async with serve(APP, seams=Seams(backplane=backplane)) as app:
        assert await ask(app, "/health/ready") == (200, {"status": "ok"})
        backplane.cut()
        away = (503, {"status": "unavailable", "reasons": ["the backplane is away"]})
        assert await ask(app, "/health/ready") == away
        assert await ask(app, "/health") == (200, {"status": "ok"})
        backplane.heal()
        await app.server._cluster._there.wait()
        assert await ask(app, "/health/ready") == (200, {"status": "ok"})


async def test_a_server_whose_keys_have_not_come_is_not_ready():
    auth = """
auth:
  tokens: {keys: "http://127.0.0.1:1/jwks.json", algorithms: [ES256], issuer: me, audience: you}
undeclared: refuse
"""
    async with serve(APP + auth) as app:
        reasons = ["the keys of tokens have not come yet"]
        assert await ask(app, "/health/ready") == (503, {"status": "unavailable", "reasons": reasons})


async def test_white_box_a_server_that_stops_is_not_ready():
    async with serve(APP) as app:
        stopping = asyncio.create_task(app.server.stop())
        await asyncio.sleep(0)
        shown = await app.server._monitor.ready(None)
        await stopping
    assert (shown.status, shown.body) == (503, b'{"status":"unavailable","reasons":["the server stops"]}')

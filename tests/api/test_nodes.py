"""The API of several nodes: any of them may be asked."""

import contextlib

import httpx
import pytest
from tests.api.conftest import SHOP, TEXT, Program
from websockets.exceptions import ConnectionClosed

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.node import Seams
from signalpost.testing import serve


@contextlib.asynccontextmanager
async def two_nodes():
    """Serve two nodes of one app; yield each with a program that asks it, and the backplane of the first."""
    shared = MemoryServer()
    backplane = MemoryBackplane(shared)
    async with (
        serve(TEXT, seams=Seams(backplane=backplane)) as one,
        serve(TEXT, seams=Seams(backplane=MemoryBackplane(shared))) as two,
        httpx.AsyncClient(base_url=one.url("web")) as to_one,
        httpx.AsyncClient(base_url=two.url("web")) as to_two,
    ):
        yield (one, Program(to_one, SHOP)), (two, Program(to_two, SHOP)), backplane


async def test_a_value_reaches_the_clients_of_all_nodes_and_any_knows_the_history():
    async with (
        two_nodes() as ((one, first), (two, second), _),
        one.connect("/rooms/a") as a,
        two.connect("/rooms/a") as b,
    ):
        sent = (
            await first.post("publish", [{"value": 1, "path": "/rooms/a"}, {"value": 2, "path": "/rooms/a"}])
        ).json()
        for client in (a, b):
            assert [await client.receive_json(), await client.receive_json()] == [1, 2]
        for program in (first, second):
            kept = (await program.get("history", path="/rooms/a")).json()
            assert [each["at"] for each in kept["signals"]] == [each["at"] for each in sent]
        assert (await first.post("publish", value="all", to="everyone")).status_code == 202
        assert [await a.receive(), await b.receive()] == ["all", "all"]


async def test_a_node_without_clients_of_a_path_knows_its_history_and_who_is_there():
    async with two_nodes() as ((_, first), (two, second), _), two.connect("/rooms/a") as _:
        await second.post("publish", value=1, path="/rooms/a")
        assert [each["value"] for each in (await first.get("history", path="/rooms/a")).json()["signals"]] == [1]
        here = (await second.get("presence", path="/rooms/a")).json()
        assert here["count"] == 1
        assert (await first.get("presence", path="/rooms/a")).json() == here


async def test_what_is_known_by_its_once_is_not_sent_again_by_another_node():
    async with two_nodes() as ((one, first), (_, second), _), one.connect("/rooms/a") as client:
        body = {"value": 1, "path": "/rooms/a", "once": "x"}
        sent = (await first.post("publish", body)).json()
        again = (await second.post("publish", body)).json()
        assert (again["at"], again["again"]) == (sent["at"], True)
        await first.post("publish", value=2, path="/rooms/a")
        assert [await client.receive_json(), await client.receive_json()] == [1, 2]


async def test_a_user_is_put_into_a_group_and_disconnected_wherever_the_connections_are():
    async with two_nodes() as ((_, first), (two, second), _), two.connect("/rooms/a") as client:
        assert (await first.post("join", path="/rooms/a", group="vip")).json() == {"matched": 0, "others": True}
        assert (await first.post("publish", value="vip", group="vip")).status_code == 202
        assert await client.receive() == "vip"
        assert (await second.get("clients")).json()["clients"][0]["groups"] == ["vip"]
        assert (await first.post("leave", client=client.id, group="vip")).json() == {"matched": 0, "others": True}
        await first.post("publish", value="no more", group="vip")
        assert (await first.post("disconnect", path="/rooms/a", reason="bye")).json() == {"matched": 0, "others": True}
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert caught.value.rcvd.reason == "bye"


async def test_clients_are_those_of_one_node_and_the_answer_says_so():
    async with two_nodes() as ((_, first), (two, second), _), two.connect("/rooms/a") as client:
        assert (await first.get("clients")).json() == {"clients": [], "count": 0, "complete": False}
        (found,) = (await second.get("clients")).json()["clients"]
        info = (await first.get("info")).json()
        assert found["id"] == client.id
        assert found["node"] in {each["node"] for each in info["nodes"]} - {info["node"]}


async def test_without_the_backplane_a_program_is_told_to_try_again():
    async with two_nodes() as ((_, first), _, backplane):
        await first.get("info")
        backplane.cut()
        answer = await first.get("info")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]
        backplane.heal()

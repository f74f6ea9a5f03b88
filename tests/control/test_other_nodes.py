"""What commands say about clients of other nodes."""

import asyncio

import pytest

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.cli import moderate
from signalpost.cli.jobs import show_jobs

TEXT = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: /x}]
"""
KICK = {"client": None, "user": "ann", "path": None, "group": None, "code": None, "reason": ""}


@pytest.mark.parametrize(
    ("command", "said", "while_away"),
    [
        (
            lambda file: moderate.kick(file, ban=None, **KICK),
            "0 clients closed here",
            "so clients of other nodes may stay",
        ),
        (
            lambda file: moderate.kick(file, ban=60.0, **KICK),
            "0 clients closed here",
            "so the other nodes learn of it when it is there again",
        ),
        (
            lambda file: moderate.unban(file, "ann"),
            "was not banned",
            "so the other nodes learn of it when it is there again",
        ),
        (
            lambda file: moderate.revoke(file, lift=False, before=None, seconds=None, user="ann", token_id=None),
            "0 clients closed here",
            "so the other nodes learn of it when it is there again",
        ),
        (
            lambda file: moderate.revoke(file, lift=True, before=None, seconds=None, user="bob", token_id=None),
            "was not revoked",
            "so the other nodes learn of it when it is there again",
        ),
    ],
)
async def test_a_command_says_whether_the_other_nodes_know(controlled, capsys, command, said, while_away):
    backplane = MemoryBackplane(MemoryServer())
    async with controlled(TEXT, backplane=backplane) as app:
        await asyncio.to_thread(command, app.file)
        assert capsys.readouterr().out == f"{said}\nthe other nodes are told\n"
        backplane.cut()
        await asyncio.to_thread(command, app.file)
        told = capsys.readouterr()
        assert told.out == f"{said}\n"
        assert told.err == f"the backplane is away, {while_away}\n"
        backplane.heal()


JOBS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
timers: [{name: tick, every: 0.05s, do: [{set: {ticks: 1}}]}]
"""


async def test_a_node_names_the_one_that_ran_a_job_last(controlled, tmp_path, capsys):
    shared = MemoryServer()
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    one, other = (controlled(JOBS, folder, backplane=MemoryBackplane(shared)) for folder in folders)
    async with one as first, other as second:
        async with asyncio.timeout(20):
            while True:
                for app in (first, second):
                    (job,) = (await app.ask("jobs"))["jobs"]
                    if job["last"] is not None and "process" in job["last"]["node"]:
                        assert job["last"]["elsewhere"] is True
                        assert job["last"]["seconds"] is None
                        await asyncio.to_thread(show_jobs, app.file, as_json=False)
                        assert "every 0.05 s, on one node" in capsys.readouterr().out
                        return
                await asyncio.sleep(0)

"""What commands say about clients of other nodes."""

import asyncio

import pytest

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.cli import moderate

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

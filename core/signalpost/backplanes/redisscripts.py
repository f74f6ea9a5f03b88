"""The scripts that Redis runs, each in a file of ``lua/`` that says what it takes and returns."""

import hashlib
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A script.

    Attributes:
        source: its text.
        digest: by which Redis knows it, once it is loaded.
    """

    source: bytes
    digest: bytes


def _script(name: str) -> Script:
    source = (files("signalpost.backplanes") / "lua" / name).read_bytes()
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


KEEP = _script("keep.lua")
READ = _script("read.lua")
END_EPOCH = _script("end_epoch.lua")
LEASE = _script("lease.lua")
PUT = _script("put.lua")

SCRIPTS = (KEEP, READ, END_EPOCH, LEASE, PUT)
"""All of them: each new connection loads them, so that none is unknown between two commands.

A script that is unknown nevertheless ends the connection. If it was sent again instead, what was sent after it would
overtake it.
"""

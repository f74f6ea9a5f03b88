"""The memory of this process, as the kernel and its control groups (cgroups) report it."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_GIBIBYTE = 1024**3
_MOST_INBOUND = _GIBIBYTE // 2
_PART = 4


def default_outboxes(root: Path = Path("/")) -> int:
    """Return the default limit of all outboxes together in bytes: a quarter of the memory, or 1 GiB.

    Args:
        root: where ``proc`` and ``sys`` are mounted.

    Returns:
        The smaller of the two.
    """
    return _part_of_memory(_GIBIBYTE, root)


def default_inbound(root: Path = Path("/")) -> int:
    """Return the default limit of unfinished messages and request bodies of all clients, in bytes.

    Args:
        root: where ``proc`` and ``sys`` are mounted.

    Returns:
        A quarter of the memory, or 512 MiB if that is less.
    """
    return _part_of_memory(_MOST_INBOUND, root)


def _part_of_memory(most: int, root: Path) -> int:
    return min(most, min(memory_limits(root)) // _PART)


def memory_limits(root: Path = Path("/")) -> Iterator[int]:
    """Yield the bytes of the machine, then those of each control group of this process that has a limit.

    A group's limit applies to all groups below it, so all parents of the process's own group are read. In a container
    the path may be that of the host, and only its top is mounted.
    """
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # cgroups, version 2
            top, name = mount, "memory.max"
        elif "memory" in controllers.split(","):  # version 1
            top, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for each in (group, *group.parents):
            limit = _text(top / each / name).strip()
            # Version 2 writes "max" for no limit; version 1 a number larger than every machine's memory.
            if limit.isdecimal():
                yield int(limit)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""

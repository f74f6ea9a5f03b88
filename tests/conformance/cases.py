"""The cases of the Autobahn test suite, on a Python of today.

The suite is written for Python 2.7; of its 517 cases only a few lines are, and those are put right on import. Bytes
are texts in the cases, a character each (latin-1), as they were in Python 2.
"""

import builtins
import codecs
import importlib.abc
import importlib.machinery
import importlib.util
import re
import subprocess
import sys
import tarfile
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "25.10.1"

_LATIN = "latin-1"

_REPAIRS = (
    (re.compile(r"^(\s*)print\b.*$", re.MULTILINE), r"\1pass"),
    (re.compile(r"\(object, Case, \)"), "(Case, )"),
    (re.compile(r"pickle\.dumps\((\w+)\) == pickle\.dumps\((\w+)\)"), r"\1 == \2"),
    (re.compile(r"len\(self\.payload\) / "), "len(self.payload) // "),
    (re.compile(r"^from case9_9_1 import \*$", re.MULTILINE), ""),  # no case of the suite's list, and Twisted's own
)


class _Cases(importlib.abc.MetaPathFinder):
    """Finds the modules of cases."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:  # noqa: ARG002 - importlib's
        """Give a module of the suite, as its modules name each other."""
        file = self._folder / f"{fullname}.py"
        if not re.fullmatch(r"case(\d+_\w+)?", fullname) or not file.is_file():
            return None
        return importlib.util.spec_from_file_location(fullname, file, loader=_Repaired(fullname, str(file)))


class _Repaired(importlib.machinery.SourceFileLoader):
    """Loads a module, and puts right what Python 3 would not take."""

    def get_data(self, path: str) -> bytes:
        """Give the source."""
        return repaired(Path(path).read_text(encoding=_LATIN)).encode()

    def get_code(self, fullname: str) -> Any:  # noqa: ARG002 - importlib's
        """Compile it; what is repaired is kept nowhere."""
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)


def repaired(source: str) -> str:
    """Give the source of a module of cases as Python 3 takes it."""
    for pattern, replacement in _REPAIRS:
        source = pattern.sub(replacement, source)
    return source


def _hex(data: str | bytes) -> str:
    return (data.encode(_LATIN) if isinstance(data, str) else data).hex()


class _Utf8Validator:
    """Tells whether bytes are UTF-8, and whether they end where a character does."""

    def reset(self) -> None:
        """Begin anew."""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def validate(self, data: str) -> tuple[bool, bool]:
        """Take the next bytes."""
        try:
            self._decoder.decode(data.encode(_LATIN))
        except UnicodeDecodeError:
            return False, False
        return True, not self._decoder.getstate()[0]


@dataclass
class Offer:
    """What a client offers of RFC 7692, by the suite's names for it."""

    acceptNoContextTakeover: bool = True  # noqa: N815 - the suite's
    acceptMaxWindowBits: bool = True  # noqa: N815
    requestNoContextTakeover: bool = False  # noqa: N815
    requestMaxWindowBits: int = 0  # noqa: N815

    def __str__(self) -> str:
        parts = ["permessage-deflate"]
        if self.acceptNoContextTakeover:
            parts.append("client_no_context_takeover")
        if self.acceptMaxWindowBits:
            parts.append("client_max_window_bits")
        if self.requestNoContextTakeover:
            parts.append("server_no_context_takeover")
        if self.requestMaxWindowBits:
            parts.append(f"server_max_window_bits={self.requestMaxWindowBits}")
        return "; ".join(parts)


def fetch(folder: Path) -> Path:
    """Have pip fetch the suite's source, and give where it is unpacked.

    Raises:
        SystemExit: pip cannot fetch it.

    """
    unpacked = folder / f"autobahntestsuite-{VERSION}"
    command = ["download", "--quiet", "--no-deps", "--no-binary", "autobahntestsuite", f"autobahntestsuite=={VERSION}"]
    result = subprocess.run(
        [sys.executable, "-m", "pip", *command, "--dest", str(folder)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SystemExit(f"pip cannot fetch the suite:\n{result.stderr}")
    with tarfile.open(unpacked.with_name(f"{unpacked.name}.tar.gz")) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 has it
        archive.extractall(folder)
    return unpacked


def load_cases(suite: Path) -> list[type]:
    """Import all cases, in the suite's order.

    Args:
        suite: its unpacked source; it has a folder ``autobahntestsuite``.

    """
    package = suite / "autobahntestsuite"

    def module(name: str, **names: Any) -> types.ModuleType:
        made = types.ModuleType(name)
        made.__dict__.update(names)
        return made

    states = types.SimpleNamespace(STATE_CLOSED=0, STATE_OPEN=3, STATE_CLOSING=2)
    stand_ins = {
        "binascii": module("binascii", b2a_hex=_hex, hexlify=_hex),
        "pkg_resources": module("pkg_resources", resource_filename=lambda _package, name: str(package / name)),
        "autobahn": module("autobahn"),
        "autobahn.websocket": module("autobahn.websocket"),
        "autobahn.websocket.protocol": module("autobahn.websocket.protocol", WebSocketProtocol=states),
        "autobahn.websocket.utf8validator": module("autobahn.websocket.utf8validator", Utf8Validator=_Utf8Validator),
        "autobahn.websocket.compress": module(
            "autobahn.websocket.compress",
            PerMessageDeflateOffer=Offer,
            PerMessageDeflateResponse=object,
            PerMessageDeflateResponseAccept=object,
        ),
    }
    before = {name: sys.modules.get(name) for name in stand_ins}
    finder = _Cases(package / "case")
    sys.meta_path.insert(0, finder)
    sys.modules.update(stand_ins)
    builtins.xrange, builtins.unichr = range, chr  # type: ignore[attr-defined]
    try:
        listing = module("cases")
        source = (package / "case" / "__init__.py").read_text(encoding=_LATIN)
        exec(compile(repaired(source), "cases", "exec"), listing.__dict__)
    finally:
        sys.meta_path.remove(finder)
        for name, had in before.items():
            if had is None:
                del sys.modules[name]
            else:
                sys.modules[name] = had
    return list(listing.__dict__["Cases"])


def number_of(case: type) -> str:
    """Give the number of a case: 1.2.3 of Case1_2_3."""
    return case.__name__.removeprefix("Case").replace("_", ".")

"""Files compressed with gzip, for clients that accept it (RFC 9110 section 8.4): compressed once, then cached."""

import gzip
import re
from collections import OrderedDict
from pathlib import Path

SMALLEST, LARGEST = 1_024, 1_048_576
"""Bytes of the files that are compressed."""

MOST_KEPT = 16_777_216
"""Bytes of compressed files that are cached; the least recently requested ones are dropped."""

_LEVEL = 6
_NEVER = re.compile(r"\s*[qQ]\s*=\s*0(\.0*)?\s*")
_KINDS = frozenset(
    {
        *("application/json", "application/manifest+json", "application/xml", "application/wasm"),
        *("application/javascript", "image/svg+xml", "image/x-icon", "application/xhtml+xml"),
    }
)
_MOST_CODINGS = 32  # number of codings of Accept-Encoding that are read


def is_worth_it(kind: str, size: int) -> bool:
    """Return whether files of a content type are compressed."""
    plain = kind.partition(";")[0]
    return SMALLEST <= size <= LARGEST and (plain.startswith("text/") or plain in _KINDS)


def takes_gzip(accepted: str) -> bool:
    """Return whether a client accepts gzip, by its Accept-Encoding (RFC 9110 section 12.5.3)."""
    for part in accepted.split(",", _MOST_CODINGS)[:_MOST_CODINGS]:
        coding, _, parameter = part.partition(";")
        if coding.strip().lower() in {"gzip", "x-gzip"}:
            return _NEVER.fullmatch(parameter) is None
    return False


class Packed:
    """Compressed files. Threads compress on demand; two of them may compress the same file."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, str], bytes] = OrderedDict()
        self._size = 0

    def find(self, path: Path, etag: str) -> bytes | None:
        """Return a version of a file, if it is cached."""
        found = self._kept.get((path, etag))
        if found is not None:
            self._kept.move_to_end((path, etag))
        return found

    def keep(self, path: Path, etag: str, packed: bytes) -> None:
        """Cache a version of a file; called in the event loop."""
        before = self._kept.pop((path, etag), b"")
        self._kept[path, etag] = packed
        self._size += len(packed) - len(before)
        while self._size > MOST_KEPT:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest)


def pack(content: bytes) -> bytes:
    """Compress a file; the same file yields the same bytes."""
    return gzip.compress(content, _LEVEL, mtime=0)

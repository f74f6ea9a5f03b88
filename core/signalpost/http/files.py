"""Files over HTTP: which file of a folder a path names, and how it is sent.

A folder is served with these rules, each of which answers 404 to reveal nothing about what exists:

* Segments are decoded once. One that holds a slash, a backslash or a NUL, or that begins with a dot (so ``.`` and
  ``..`` too) is rejected; ``.well-known`` (RFC 8615) is the exception.
* Symbolic links are followed, and what they lead to must be in the folder and may not be hidden either.
* What is private (`signalpost.http.private`) is not sent, by whatever name.
* Only regular files are sent. For a folder its ``index.html`` is sent, if there is one; folders are never listed.
"""

import asyncio
import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from mimetypes import guess_type
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from sanic.compat import Header
from sanic.exceptions import NotFound, RangeNotSatisfiable, ServerError
from sanic.request import Request
from sanic.response import HTTPResponse

from signalpost.http.packed import Packed, is_worth_it, pack, takes_gzip
from signalpost.http.private import NOTHING_PRIVATE, Private

INDEX = "index.html"
CHUNK = 256 * 1024

_EXHAUSTED = (errno.EMFILE, errno.ENFILE)
_MOST_TAGS = 64  # number of tags of If-None-Match that are read
_LONGEST_DATE = 64

_SHOWN_DOT_FILES = frozenset({".well-known"})
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

# What browsers insist on, whatever the machine's own table contains.
_TYPES = {
    ".avif": "image/avif",
    ".css": "text/css",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}


def content_type(path: Path) -> str:
    """Return the content type of a file by its name; the charset of text is UTF-8."""
    kind, encoding = guess_type(path.name)
    kind = _TYPES.get(path.suffix.lower()) or (kind if kind and not encoding else "application/octet-stream")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a file.

    Attributes:
        size: in bytes.
        modified: in nanoseconds since 1970.
    """

    size: int
    modified: int

    @property
    def etag(self) -> str:
        """The entity tag, with its quotes. Two versions differ in it even within one second."""
        return f'"{self.modified:x}-{self.size:x}"'

    @property
    def packed_etag(self) -> str:
        """The entity tag of its compressed form."""
        return f'"{self.modified:x}-{self.size:x}-gz"'

    @property
    def seconds(self) -> int:
        """The time of modification in whole seconds since 1970, as in Last-Modified."""
        return self.modified // 1_000_000_000

    def known_to(self, headers: Header) -> bool:
        """Return whether the client has this version already (RFC 9110 section 13.2.2)."""
        tags = headers.get("if-none-match")
        if tags is not None:
            known = (self.etag, self.packed_etag, "*")
            return any(tag.strip().removeprefix("W/") in known for tag in tags.split(",", _MOST_TAGS)[:_MOST_TAGS])
        return self._dated(headers.get("if-modified-since", ""), newer=True)

    def continues(self, headers: Header) -> bool:
        """Return whether a part of this version fits what the client has of the file (RFC 9110 section 13.1.5)."""
        condition = headers.get("if-range")
        return condition is None or condition == self.etag or self._dated(condition, newer=False)

    def _dated(self, text: str, *, newer: bool) -> bool:
        if len(text) > _LONGEST_DATE:
            return False
        try:
            date = parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, OverflowError):
            return False
        return self.seconds <= date if newer else self.seconds == date


def is_exhaustion(error: BaseException) -> bool:
    """Return whether opening a file failed only because no descriptor was free."""
    return isinstance(error, OSError) and error.errno in _EXHAUSTED


def part_of(header: str, size: int) -> tuple[int, int] | None:
    """Read a Range header.

    Returns:
        The first byte and the number of bytes; None for the whole file, as for anything that is not one range
        of bytes (RFC 9110 section 14.2 leaves several ranges to the server's choice).

    Raises:
        RangeNotSatisfiable: the file is too short for it.
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
        length = end - start + 1
    if length <= 0:
        raise RangeNotSatisfiable(headers={"content-range": f"bytes */{size}"})
    return start, length


async def send_file(
    request: Request, path: Path, private: Private = NOTHING_PRIVATE, packed: Packed | None = None
) -> HTTPResponse | None:
    """Send a file: whole, in part, or not at all if the client has it already.

    Args:
        request: for it.
        path: of the file.
        private: tells which files are never sent.
        packed: stores compressed files; without it, none is compressed.

    Returns:
        The response; None if it was sent already, piece by piece.

    Raises:
        OSError: there is no such regular file, it may not be read, or it is private.
        RangeNotSatisfiable: the requested part does not exist.
    """
    file, version = await _opened(path, private)
    with file:
        headers = {
            "etag": version.etag,
            "last-modified": formatdate(version.seconds, usegmt=True),
            "accept-ranges": "bytes",
            "cache-control": "no-cache",  # store it, but check whether it is still the same
        }
        kind = content_type(path)
        packs = packed is not None and is_worth_it(kind, version.size)
        if packs:
            headers["vary"] = "accept-encoding"
            if takes_gzip(request.headers.get("accept-encoding", "")) and "range" not in request.headers:
                headers["etag"] = version.packed_etag
                del headers["accept-ranges"]
        if version.known_to(request.headers):
            return HTTPResponse(status=304, headers=headers)
        if packed is not None and headers["etag"] == version.packed_etag:
            content = await _packed(file, path, version, packed)
            response = HTTPResponse(headers={**headers, "content-encoding": "gzip"}, content_type=kind)
            if request.method == "HEAD":
                response.headers["content-length"] = str(len(content))
            else:
                response.body = content
            return response
        status, start, length = 200, 0, version.size
        wanted = request.headers.get("range")
        if wanted and request.method == "GET" and version.continues(request.headers):
            part = part_of(wanted, version.size)
            if part:
                status, (start, length) = 206, part
                headers["content-range"] = f"bytes {start}-{start + length - 1}/{version.size}"
        response = HTTPResponse(status=status, headers=headers, content_type=kind)
        if request.method == "HEAD":
            response.headers["content-length"] = str(length)
            return response
        first = await asyncio.to_thread(_read, file, start, min(length, CHUNK))
        if len(first) == length:
            response.body = first
            return response
        response.headers["content-length"] = str(length)
        await _stream(request, response, file, first, length)
    return None


async def _packed(file: BinaryIO, path: Path, version: Version, packed: Packed) -> bytes:
    content = packed.find(path, version.etag)
    if content is None:
        content = await asyncio.to_thread(lambda: pack(_read_all(file, version.size)))
        packed.keep(path, version.etag, content)
    return content


def _read_all(file: BinaryIO, size: int) -> bytes:
    """Read a file completely: a single read may return only a part."""
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


async def _stream(request: Request, response: HTTPResponse, file: BinaryIO, first: bytes, length: int) -> None:
    """Send a file in pieces, each read when the one before has been sent."""
    await request.respond(response)
    chunk = first
    while chunk:
        length -= len(chunk)
        await response.send(chunk)
        chunk = await asyncio.to_thread(file.read, min(length, CHUNK)) if length else b""
    if length:
        raise ServerError("a file became shorter while it was sent")


async def _opened(path: Path, private: Private) -> tuple[BinaryIO, Version]:
    """Open a file in a thread; if the caller has stopped waiting by then, close it."""
    opening = asyncio.ensure_future(asyncio.to_thread(_open, path, private))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[tuple[BinaryIO, Version]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _open(path: Path, private: Private) -> tuple[BinaryIO, Version]:
    path = Path(os.path.realpath(path, strict=True))
    private.check(path)
    # O_NONBLOCK: opening a named pipe would otherwise wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb", buffering=0)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise FileNotFoundError(2, "not a regular file")
    return file, Version(status.st_size, status.st_mtime_ns)


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


@dataclass(frozen=True, slots=True)
class StaticFolder:
    """A folder that is served below a path.

    Attributes:
        root: the folder; may be a symbolic link whose target changes.
        private: tells which files are never sent.
        packed: stores compressed files.
    """

    root: Path
    private: Private = NOTHING_PRIVATE
    packed: Packed | None = None

    async def send(self, request: Request, segments: Sequence[str]) -> HTTPResponse | None:
        """Send the file that `segments` name below the folder.

        A request for a folder without its slash is redirected to the slash, so that the links in its index work.

        Returns:
            The response; None if it was sent already.

        Raises:
            NotFound: there is no such file, or it must not be sent.
            RangeNotSatisfiable: see `send_file`.
            OSError: no descriptor is free for it (`is_exhaustion`).
        """
        if not all(map(_servable, segments)):
            raise NotFound
        try:
            path, is_index = await asyncio.to_thread(self._find, segments)
            if is_index and not request.path.endswith("/"):
                return _with_slash(request)
            return await send_file(request, path, self.private, self.packed)
        except (OSError, RuntimeError, ValueError) as error:
            if is_exhaustion(error):  # the file may well exist
                raise
            raise NotFound from None

    def _find(self, segments: Sequence[str]) -> tuple[Path, bool]:
        """Return the file, all links followed, and whether it is the index of the requested folder.

        Raises:
            OSError, RuntimeError: it does not exist, must not be sent, or its links form a circle.
        """
        root = self.root.resolve()
        self.private.check_root(root)
        path = root.joinpath(*segments).resolve()
        is_folder = path.is_dir()
        if is_folder:
            path = (path / INDEX).resolve(strict=True)
        if not path.is_relative_to(root) or not all(map(_servable, path.relative_to(root).parts)):
            raise FileNotFoundError(2, "outside the folder, or hidden")
        return path, is_folder


def _servable(segment: str) -> bool:
    return (
        bool(segment)
        and (segment[0] != "." or segment in _SHOWN_DOT_FILES)
        and not any(char in segment for char in "/\\\0")
    )


def _with_slash(request: Request) -> HTTPResponse:
    """Redirect to the same path with a slash; relative, so that no client can redirect it to another host."""
    last = request.path.rsplit("/", 1)[-1]
    query = f"?{request.query_string}" if request.query_string else ""
    return HTTPResponse(status=308, headers={"location": f"./{quote(last, safe='%')}/{query}"})

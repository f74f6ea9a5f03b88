"""Throw bytes at everything that reads bytes of strangers, for as long as you like.

::

    python tests/attack/fuzz.py --minutes 10

Inputs are mutations of those in ``corpus/``, one folder a target, which are all tried first. What a target makes of an
input is judged, not only that it survives it: see the targets below. An input that breaks a rule is kept in the corpus
as ``broken-….bin`` and ends the program with 1; the corpus's test is red until it is mended. An input on which a target
hangs is shown by the stack, after a minute.

Some targets make their inputs rather than mutate them (`hostile`), and have a clock: with an input of at most 64 KiB
nothing may work longer than 50 ms, in CPU time of this thread. ``--all`` goes on after what breaks a rule.
"""

import argparse
import asyncio
import contextlib
import faulthandler
import gc
import hashlib
import json
import logging
import os
import random
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import hostile
import orjson
import uvloop
from multidict import CIMultiDict
from sanic.compat import Header
from sanic.exceptions import BadRequest
from tokentarget import TokenTarget

from signalpost.cli.logguard import LogGuard
from signalpost.cli.run import calm_collector
from signalpost.config.addresses import parse_host
from signalpost.config.feedurl import parse_url
from signalpost.config.model import ForwardingHeaders, ProxiesConfig
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.publication import Publication
from signalpost.edge.forwarded import public_view
from signalpost.feeds.envelope import Envelopes
from signalpost.feeds.pace import seconds_asked
from signalpost.fields import origin_form, query_values
from signalpost.history.position import read_position
from signalpost.http.body import LONGEST_LINE, ChunkedBody, MalformedBodyError
from signalpost.http.files import part_of
from signalpost.http.packed import takes_gzip
from signalpost.http.remedies import let_in_origin, shown
from signalpost.http.request import WebRequest
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.jsonschemas.typed import FieldTypes
from signalpost.jsontext import load
from signalpost.paths import PathPattern, path_segments, path_text
from signalpost.signals.lookalike import frame_looks_like_the_server_s, text_looks_like_an_error
from signalpost.signals.message import RejectedMessageError, ReservedKeyError, read_message
from signalpost.signals.requests import read_request
from signalpost.signals.sessions import offered
from signalpost.templates.compiler import Compiler
from signalpost.templates.scope import Limits
from signalpost.templates.value import Computed, TemplateFailedError
from signalpost.testing import serve
from signalpost.websocket.crosssite import Site, check_origin
from signalpost.websocket.deflate import Agreement, Inflater
from signalpost.websocket.extensions import MalformedError, agree, read_extensions
from signalpost.websocket.handshake import (
    HandshakeRejection,
    choose_protocol,
    is_listed,
    is_own_page,
    is_upgrade,
    read_authority,
    read_offer,
    read_origin,
    write_101,
)
from signalpost.websocket.head import read_head
from signalpost.websocket.reader import FrameReader
from signalpost.words import did_you_mean, printable, quoted
from signalpost.yaml.masks import Mask
from signalpost.yaml.nodes import Hidden

CORPUS = Path(__file__).parent / "corpus"
HANG = 60  # seconds for a batch of inputs
BATCH = 200
LONGEST = 20_000  # bytes of an input
GROWTH = 64 * 1024 * 1024  # bytes that the process may grow by, once it has warmed up
CLOCK = 0.05  # seconds of work on one input
SIZES = (20, 300, 4_000, 65_000)  # bytes of what is made
BORDERS = (0, 1, 2, 9, 10, 13, 32, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0x88, 0x89, 0xC1, 0xED, 0xFE, 0xFF)


class Broken(Exception):  # noqa: N818 - a finding more than an error
    """A target broke a rule."""


def must(kept, rule):
    """Say that a rule is broken, unless it is kept."""
    if not kept:
        raise Broken(rule)


class Clock:
    """Times the work of a block, in CPU time of this thread.

    Attributes:
        seconds: that the last block took.
        allowed: that it may take.

    """

    seconds = 0.0
    allowed = CLOCK

    def __enter__(self):
        gc.collect(0)
        self._start = time.thread_time()
        return self

    def __exit__(self, *_):
        self.seconds = time.thread_time() - self._start


def quickly(work):
    """Do something, again where it took too long by chance; return what it gives."""
    clock = Clock()
    for _ in range(3):
        with clock:
            result = work()
        if clock.seconds <= Clock.allowed:
            return result
    must(False, f"it works for {clock.seconds * 1000:.0f} ms")
    return None


class Reader:
    """Frames: however the stream is cut, the same messages, none too long, all texts UTF-8, one of three codes."""

    words = (
        *(
            bytes((first, second))
            for first in (0x00, 0x01, 0x81, 0x82, 0x80, 0x89, 0x88, 0xC1, 0x41)
            for second in (0x80, 0x81, 0x85)
        ),
        b"\x81\xfe\x00\x7e",
        b"\x81\xff" + bytes(8),
        b"\x81\xff\x80" + bytes(7),
        b"\0\0\0\0",
        "é€😀".encode(),
        b"\xed\xa0\x80",
        b"\xaa\x56\x4a\xad\x4e\xcc\x2b\x01\x00",  # deflated
        b"\x00\x00\xff\xff",
    )

    def __call__(self, data):
        choice, stream = (data[0], data[1:]) if data else (0, b"")
        limit = (5, 126, 1_000, 100_000)[choice & 3]
        agreement = Agreement(client_takes_over=bool(choice & 8), client_window=15 if choice & 16 else 9)

        def read(pieces):
            reader = FrameReader(limit, Inflater(agreement) if choice & 4 else None)
            received = [each for piece in pieces for each in reader.feed(piece)]
            return received, reader.error and reader.error.code

        received, code = read([stream])
        size = 1 + choice % 7
        again, other = read([stream[start : start + size] for start in range(0, len(stream), size)])
        must(received == again, "cuts matter")
        # Of what inflates to too much that is no text besides, either may be seen first.
        must(code == other or (choice & 4 and {code, other} == {1007, 1009}), f"{code} or, in pieces, {other}")
        must(code in {None, 1002, 1007, 1009}, f"it fails with {code}")
        for opcode, payload in received:
            must(opcode in {1, 2, 8, 9, 10}, f"opcode {opcode}")
            must(len(payload) <= (limit if opcode < 8 else 125), f"{len(payload)} bytes")
            if opcode == 1:
                payload.decode()


class Message:
    """Texts: a message whose value goes out again, or an error that does."""

    words = (
        *(
            b'"%b":' % key
            for key in (b"message", b"path", b"clientId", b"group", b"direct", b"ref", b"MESSAGE", b"Ref")
        ),
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b"\\",
            b"\\u0000",
            b"\\ud800",
            b"\\udc00",
            b"null",
            b"true",
            b"1e999",
        ),
        *(
            b"18446744073709551616",
            b"-9223372036854775809",
            b"0.1",
            b"-0",
            b"[" * 300,
            b"]" * 300,
            "\u017ftra\u00dfe \u0130".encode(),
        ),
    )

    def __init__(self):
        schema = {"type": "object", "required": ["message"], "properties": {"message": {"type": ["string", "integer"]}}}
        self._gates = (
            None,
            SchemaGate.compile(schema),
            SchemaGate.compile({"properties": {"message": {"uniqueItems": True}}}),
        )

    def __call__(self, data):
        text = data.decode(errors="replace").encode()  # the reader lets nothing else through
        for gate in self._gates:
            try:
                message = read_message(text, gate)
            except RejectedMessageError as refused:
                frame = V1.codec.error(refused.error, refused.ref)
                must(len(frame) < 2_000, f"an error of {len(frame)} bytes")
                continue
            with contextlib.suppress(TypeError):  # it is nested too deeply: the conversation says so
                sent = Publication(message.message, "/fuzz")
                must(sent.encoded(PLAIN)[0] == sent.encoded(V1)[0] == 0x81, "no text goes out")


def taken_at_the_door(data):
    """Give the offer of a handshake that does not come to Sanic, and its path; None if it does."""
    head = read_head(data)
    if head is None or not is_upgrade(head.fields):
        return None
    try:
        return read_offer("GET", "1.1", head.fields), head.path
    except HandshakeRejection:
        return None


class Handshake:
    """Heads of requests: refused by a status, or answered by a 101 that holds no line that is not ours.

    What does not come to Sanic is what Sanic would have made of it.
    """

    words = (
        *(
            name + b": "
            for name in (b"Host", b"Origin", b"Upgrade", b"Connection", b"Content-Length", b"Transfer-Encoding")
        ),
        *(b"Sec-WebSocket-" + rest for rest in (b"Key: ", b"Version: 13", b"Protocol: ", b"Extensions: ")),
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n ",
            b" :",
            b"\t",
            b"\0",
            b"\x0b",
            b"\xc2\xa0",
            b",",
            b";",
            b'"',
            b"\\",
            b"websocket",
        ),
        *(
            b"permessage-deflate",
            b"client_max_window_bits=",
            b"server_no_context_takeover",
            b"signalpost.v1",
            b"chunked",
        ),
        *(
            b"https://",
            b"good.example",
            b"null",
            b"@",
            b"[::1]",
            b":443",
            b"%00",
            b"%ff",
            b"GET ",
            b" HTTP/1.1",
            b"dGhlIHNhbXBsZSBub25jZQ==",
        ),
    )

    def __call__(self, data):
        head, end, _ = data.partition(b"\r\n\r\n")
        quick = taken_at_the_door(data)
        must(quick is None or end, "a head without an end is taken")
        line, *lines = head.decode(errors="surrogateescape").split("\r\n")
        try:  # as Sanic reads it
            method, url, version = line.split(" ")
            fields = [(name.lower(), value.lstrip()) for name, value in (each.split(":", 1) for each in lines)]
            target = url.encode("ascii")
        except ValueError:
            must(quick is None, "what is no request is taken")
            return
        try:
            request = WebRequest(target, Header(fields), version[5:], method, None, None, head)
            must(not any(byte in head.replace(b"\r\n", b"") for byte in b"\r\n\0"), "a bare line break")
            is_upgrade(request.headers)
            offer = read_offer(request.method, request.version, request.headers)
            check_origin(offer.origin, request.headers, Site((offer.host, offer.port), {443}, ["https://good.example"]))
        except (HandshakeRejection, BadRequest) as refused:
            must(400 <= getattr(refused, "status", 400) < 500, "a refusal that is none")
            must(quick is None or getattr(refused, "status", 400) == 403, "what Sanic's way refuses is taken")
            return
        must(quick in {None, (offer, request.path)}, "it is read in two ways")
        agreed = agree(offer.extensions)
        protocol = choose_protocol(offer, ("signalpost.v1",))
        answer = write_101(offer, protocol, "id", agreed[1] if agreed else "")
        origin = offer.origin.lower()
        must(not origin or re.fullmatch(r"https://good\.example(:0*443)?", origin) or offer.host in origin, origin)
        must(answer.endswith(b"\r\n\r\n"), "the answer has no end")
        must(answer.count(b"\r\n\r\n") == 1, "the answer ends twice")
        must(
            answer.count(b"\n") == 6 + bool(agreed) + bool(protocol),
            "a line of somebody else's",
        )


class Body:
    """Bodies in chunks: however they are cut the same is read as by the grammar, and within the time of a turn."""

    words = (
        *(b"0\r\n\r\n", b"0\r\n", b"5\r\n[1,2]\r\n", b"1\r\n \r\n", b"\r\n", b"\n", b"\r", b";a=b", b"0x", b"+", b"_"),
        *(
            b"X-Sum: 1\r\n",
            b"GET / HTTP/1.1\r\n",
            "\uff15".encode(),
            b"ffffffffffffffff",
            b" ",
            b"\t",
            b"\0",
            b"00",
            b"A",
        ),
    )
    _SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})([\t ]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
    _TRAILERS = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")
    _MOST = 0.05  # seconds

    def __call__(self, data):
        began = time.process_time()
        content, rest, state = self._read([data])
        must(time.process_time() - began < self._MOST, "it takes too long")
        size = 1 + len(data) % 7
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        again, other, ended = self._read(pieces)
        must(state == ended, f"it is {state}, or in pieces {ended}")
        must(state == "malformed" or (content, rest) == (again, other), "cuts matter")
        expected = self._by_grammar(data)
        must(state != "done" or expected == (content, rest), "it is read against the grammar")
        long = len(data) > LONGEST_LINE  # what is bounded besides
        must(state == "done" or expected is None or long, f"it is of the grammar, and {state}")

    @staticmethod
    def _read(pieces):
        body, buffer, content = ChunkedBody(), bytearray(), bytearray()
        for piece in pieces:
            buffer += piece
            try:
                while body.read(buffer, content):
                    pass
            except MalformedBodyError:
                return b"", b"", "malformed"
        return bytes(content), bytes(buffer), "done" if body.done else "unfinished"

    def _by_grammar(self, data):
        """Read a whole body by RFC 9112 section 7.1; None if it is none."""
        content, at = b"", 0
        while (found := self._SIZE.match(data, at)) is not None:
            size, at = int(found[1], 16), found.end()
            if not size:
                end = self._TRAILERS.match(data, at)
                return None if end is None else (content, data[end.end() :])
            content, at = content + data[at : at + size], at + size
            if data[at : at + 2] != b"\r\n":
                return None
            at += 2
        return None


class Server:
    """A whole connection over a socket: the server logs no error, ends it, forgets it, and serves others meanwhile."""

    words = Handshake.words + Reader.words
    _APP = """
        endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["https://good.example"]}]
        undeclared: refuse
        signals:
          - {path: /echo, rebroadcast: sender, targets: [direct]}
          - {path: /raw, rebroadcast: sender, format: raw}
    """

    def __init__(self, loop=None):
        self._loop = loop or uvloop.new_event_loop()
        self._end = contextlib.AsyncExitStack()
        self._complaints = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = self._complaints.append
        logging.getLogger().addHandler(handler)
        for name in ("sanic.error", "sanic.root", "sanic.server"):
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).propagate = False
        self._loop.set_exception_handler(lambda _, context: self._complaints.append(context))
        self._loop.run_until_complete(self._start())

    async def _start(self):
        self._app = await self._end.enter_async_context(serve(self._APP))
        self._bystander = await self._end.enter_async_context(self._app.connect("/echo"))

    def __call__(self, data):
        self._complaints.clear()
        self._loop.run_until_complete(self._attack(data))
        complaints = list(self._complaints)
        must(not complaints, f"the server complains: {complaints}")

    async def _attack(self, data):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._app.server.endpoints[0].port)
        writer.write(data)
        await self._echo()
        with contextlib.suppress(OSError):
            writer.write_eof()
            answer = await reader.read()
            must(not answer or answer.startswith(b"HTTP/1.1 "), f"an answer that is none: {answer[:50]}")
        writer.transport.abort()
        hub = self._app.server.node.hub
        while len(hub.clients) > 1 or hub.closing:
            await self._echo()

    async def _echo(self):
        await self._bystander.send("still here")
        must(await self._bystander.receive() == "still here", "the bystander reads something else")

    def close(self):
        """Stop the server."""
        self._loop.run_until_complete(self._end.aclose())
        self._loop.close()


class Request(Server):
    """A request with a body: one answer, by HTTP, that blames the client; no callback of the loop takes too long."""

    words = ()
    _APP = """
        endpoints:
          - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
          - {name: web, address: 127.0.0.1, port: 0, protocol: http}
        signals: [{path: /echo, rebroadcast: sender}]
        routes:
          - path: /checked
            method: [POST, PUT]
            schema: {items: {uniqueItems: true, items: {enum: [1, 2.5]}}, minProperties: 1}
            do: [{respond: {text: checked}}]
          - {path: /form, method: POST, do: [{respond: {json: "{{ data is mapping }}"}}]}
          - {path: /any, method: POST, do: [{respond: {text: any}}]}
    """

    def __init__(self):
        self._longest = 0.0
        run = asyncio.Handle._run

        def timed(handle):
            clock = Clock()
            with clock:
                run(handle)
            self._longest = max(self._longest, clock.seconds)

        asyncio.Handle._run = timed  # uvloop has no place to look at
        self._untimed = run
        super().__init__(asyncio.new_event_loop())

    def make(self, chance):
        """Make a request."""
        return hostile.request(chance, chance.choice(SIZES))

    async def _attack(self, data):
        for _ in range(3):
            self._longest = 0.0
            await self._ask(data)
            if self._longest <= Clock.allowed:
                return
        must(False, f"a callback takes {self._longest * 1000:.0f} ms")

    async def _ask(self, data):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._app.server.endpoints[1].port)
        writer.write(data)
        await self._echo()
        with contextlib.suppress(OSError):
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), HANG / 2)
            must(not answer or re.match(rb"HTTP/1\.1 [1-4]\d\d ", answer), f"an answer that is none: {answer[:50]}")
        writer.transport.abort()

    def close(self):
        """Stop the server."""
        super().close()
        asyncio.Handle._run = self._untimed


class Actions(Server):
    """Lists of actions and a message: each is done, or fails with words, within the time."""

    words = ()
    _LISTS = (
        '[{reply: {value: "{{ data }}"}}]',
        '[{for: {each: to, in: "{{ message }}"}, do: [{set: {"seen.{{ to }}": "{{ to }}"}}]}]',
        '[{set: {last: "{{ message }}"}}, {reply: {value: "{{ state.last | length }}"}}]',
        '[{if: "{{ message | length > 3 }}", then: [{reply: {value: "{{ message | list | join }}"}}]}]',
        '[{for: {each: to, in: "{{ message }}"}, do: [{reply: {value: "{{ to }}"}}]}]',
        '[{join: "{{ message }}"}, {log: "{{ message }}"}]',
    )

    def __init__(self):
        signals = "".join(f"  - {{path: /{number}, do: {steps}}}\n" for number, steps in enumerate(self._LISTS))
        self._APP = (
            "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
            f"signals:\n  - {{path: /echo, rebroadcast: sender}}\n{signals}"
        )
        super().__init__()

    def make(self, chance):
        """Make a message, for one of the lists."""
        list_ = chance.randrange(len(self._LISTS))
        return f'{list_}\n{{"message":{hostile.value(chance, chance.choice(SIZES))}}}'.encode()

    def __call__(self, data):
        self._loop.run_until_complete(self._attack(data))
        self._complaints.clear()  # a step that fails is told to the log

    async def _attack(self, data):
        number, _, text = data.partition(b"\n")
        async with self._app.connect(f"/{int(number)}", max_queue=None, close_timeout=1):
            (connection,) = (
                each for each in self._app.server._sockets.connections if each._conversation.client.path != "/echo"
            )
            quickly(lambda: connection._conversation.receive(1, text))
        await self._echo()


class Positions:
    """Positions of strangers: none, or one that is written as it came."""

    words = (
        *(
            b"6bvws1",
            b":",
            b"::",
            b"0",
            b"1",
            b"01",
            b"-1",
            b"9" * 18,
            b"9" * 19,
            b":0000",
            b":hypf",
            b"%00",
            b"l",
            b"U",
        ),
        *("\u0661".encode(), "é".encode(), b"\n", b" ", b"+1", b"1_0", b"zzzzzz:999999999999999999:zzzz"),
    )

    def __call__(self, data):
        text = data.decode(errors="replace")
        position = quickly(lambda: read_position(text))
        must(position is None or str(position) == text, "it is written in another way")
        must(position is None or (position.offset >= 0 and 0 <= position.id < 2**20), "it is out of range")


class Conversing:
    """Messages of signalpost.v1: with ref and once, or a request; read, or refused with a short error."""

    words = (
        *(
            b'"ref":',
            b'"once":',
            b'"Once":',
            b'"signalpost":',
            b'"message":',
            b'"history":',
            b'"presence":',
            b'"limit":',
        ),
        *(b'"before":', b'"after":', b'"path":', b'"6bvws1:5:hypf"', b"1000", b"1001", b"0", b"-1", b"1.5", b"null"),
        *(b"{", b"}", b"[", b"]", b",", b'"', b"\\ud800", b"true", b"18446744073709551616", b'"' + b"x" * 65 + b'"'),
    )

    def __call__(self, data):
        text = data.decode(errors="replace").encode()
        try:
            message = quickly(lambda: self._read(text))
        except RejectedMessageError as refused:
            frame = V1.codec.error(refused.error, refused.ref)
            must(len(frame) < 2_000, f"an error of {len(frame)} bytes")
            return
        if message is not None:
            must(message.once is None or 0 < len(message.once) <= 64, "a once of another length")
            must(message.document is None or not {"ref", "once"} & message.document.keys(), "the schema sees them")

    @staticmethod
    def _read(text):
        try:
            return read_message(text, None, converses=True)
        except ReservedKeyError as asked:
            request = read_request(asked.document)
            must(0 < request.limit <= 1_000, f"{request.limit} values are asked for")
            must(request.kind in {"history", "presence"}, request.kind)
            must(request.before is None or request.after is None, "both ends")
            return None


class Feeds:
    """Lines of another server, each a frame of the envelope, and a header Retry-After: read, and never an error."""

    words = (
        *(b'{"signal":', b'{"welcome":', b'{"gap":', b'{"lagged":', b'{"error":', b'{"bye":', b'"retry_ms":', b"{}}"),
        *(b'"value":', b'"at":', b'"missed":0', b'"why":', b'"code":', b'"detail":', b'"6bvws1:5:hypf"', b'"#&=?"'),
        *(b"1e999", b"-1", b"null", b"true", b"[[", b"\\ud800", b"\\n", b'"' + b"p" * 300 + b'"', b"\n", b",", b"\0"),
        *(b"Tue, 01 Jan 2030 12:00:30 GMT", b"-9999", b"+2400", b"99999999", b"Feb", b"31"),
    )
    address = "wss://feed.example.com/news?at=mine&lang=en"

    def __init__(self):
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self, data):
        told = []
        envelopes = Envelopes(told.append)
        for line in data.decode(errors="replace").split("\n"):
            signal = quickly(lambda line=line: envelopes.read(line))
            must(signal is None or "value" in signal.said, "a signal without a value")
            must(len(envelopes.position) <= 200, "a long position")
            must(0 <= envelopes.retry < float("inf"), f"{envelopes.retry} s")
            asked = parse_url(envelopes.url(self.address))
            must(asked.startswith("wss://feed.example.com/news?") and asked.isascii(), asked)
            must(0 <= seconds_asked(line, self.now) < float("inf"), "no number of seconds")
        must(all(line.isprintable() and len(line) < 500 for line in told), told)


class Sessions(Server):
    """Handshakes with sessions and positions: answered, with no session of a stranger's in it, and no error logged."""

    words = (
        *(b"signalpost.session.", b"signalpost.v1", b", ", b",", b"bUIND5QlDQDhQ8h-peUL9Q", b"?at=", b"6bvws1:5:hypf"),
        *(b"Sec-WebSocket-Protocol: ", b"\r\n", b'"', b"\0", b"%00", b"%ff", b"\xc3\xa9", b";", b" ", b"x" * 300),
    )
    _APP = """
        endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
        signals:
          - {path: /echo, rebroadcast: sender}
          - {path: /kept, rebroadcast: path, history: {keep: 10, replay: 3}, presence: {every: 10ms, grace: 0}}
    """

    def __call__(self, data):
        super().__call__(data)
        head = read_head(data)
        if head is not None and is_upgrade(head.fields):
            with contextlib.suppress(HandshakeRejection):
                offer = read_offer("GET", "1.1", head.fields)
                must("," not in offered(offer.subprotocols), "a session of two")
        memory = self._app.server.node.memory
        must(len(memory.sessions) <= memory.sessions.most, "too many sessions")
        must(all(not stream.readers for stream in memory.streams), "a stream has readers that are gone")


class Schema:
    """A schema and a message: judged in time, and by the way of long messages as by that of short ones."""

    words = ()

    def __init__(self):
        self.kept = 0  # bytes by which compiling grew the process: the engine never frees some schemas that recur

    def make(self, chance):
        """Make an input: a schema, and a message, in lines."""
        schema = json.dumps(hostile.schema(chance))
        return f'{schema}\n{{"message":{hostile.value(chance, chance.choice(SIZES))}}}'.encode()

    def __call__(self, data):
        schema, _, text = data.partition(b"\n")
        before = resident()
        try:
            gate = SchemaGate.compile(json.loads(schema))
        except (ValueError, RecursionError):
            return
        finally:
            self.kept += resident() - before  # on a load alone, of what stands in the app's file
        try:
            instance = load(text)  # as the server does: what is too deep never comes to a schema
        except (ValueError, RecursionError):
            return
        mismatch = quickly(lambda: gate.rejection(instance, text))
        must(mismatch is None or len(mismatch.detail) <= 200, "a long answer")
        if mismatch is None:
            quickly(lambda: read_message(text, gate))
        if len(text) <= gate.short:  # the engine takes no longer by itself
            long = quickly(lambda: gate._weighed.rejection(instance, text))
            costly = long is not None and "takes too long" in long.detail
            must(costly or (long is None) is (mismatch is None), f"{long} by the long way, {mismatch} by the short one")


class Template:
    """A template and a message: rendered, or refused, within the time that it may take."""

    words = ()

    def __init__(self):
        self._compiler = Compiler(limits=Limits(seconds=CLOCK * 0.6))

    def make(self, chance):
        """Make an input: a template, and what a client sent."""
        return f"{hostile.template(chance)}\n{hostile.value(chance, chance.choice(SIZES))}".encode()

    def __call__(self, data):
        text, _, sent = data.decode().partition("\n")
        problems = []
        compiled = self._compiler.compile(
            text, (), {"message", "data"}, lambda *_, **__: problems.append(1), lambda *_, **__: "routes.yaml:1:1"
        )
        try:
            message = orjson.loads(sent)
        except ValueError:
            return
        if problems or not isinstance(compiled, Computed):
            return

        def render():
            with contextlib.suppress(TemplateFailedError):
                return compiled.render(
                    {"message": message, "data": {"message": message, "a": message, "list": message}}
                )

        quickly(render)


class Texts:
    """A text of a client's: each of those that read one for its form is done in time, whatever it is made of."""

    words = ()

    def __init__(self):
        secrets = ("hunter2-hunter2", "a b c d e f g h", "1234567890")
        masks = Mask([Hidden("SECRET", each, secret=True) for each in secrets])
        pattern = PathPattern.parse("/a/<number:int>/<rest:path>")
        types = FieldTypes.of({"properties": {"a": {"type": ["integer", "number", "boolean", "null"]}}})
        self._of_heads = (  # 16 KiB, as limits.head allows
            parse_host,
            read_origin,
            lambda text: is_own_page(text, read_authority(text), (80,)),
            lambda text: is_listed(text, ("https://*.example", "https://good.example")),
            lambda text: let_in_origin(text, read_authority(text), ()),
            takes_gzip,
            lambda text: part_of(text, 1_000),
            origin_form,
            path_text,
            lambda text: pattern.match(path_segments(f"/a/{text}") or []),
            lambda text: pattern.match(path_segments(f"/a/7/{text}") or []),
            lambda text: types.read(query_values(text)),
            lambda text: types.read({"a": [text]}),
            lambda text: read_extensions([text, text]),
            lambda text: did_you_mean(text, ("message", "path", "group")),
            lambda text: [shown(text), quoted(text), printable(text)],
        )
        self._of_messages = (
            LogGuard(masks).line,
            text_looks_like_an_error,
            frame_looks_like_the_server_s,
        )

    def make(self, chance):
        """Make a text."""
        return hostile.text(chance, chance.choice((30, 200, 16_000, 65_000))).encode()

    def __call__(self, data):
        text = data.decode(errors="replace")
        for read in (*self._of_messages, *(self._of_heads if len(data) <= 16_384 else ())):
            with contextlib.suppress(ValueError, HandshakeRejection, MalformedError):
                quickly(lambda read=read: read(text))


class ForgedClients:
    """What a client sends before its proxy adds who it is: it changes nothing, and is read in time."""

    words = (
        *b'for= proto=https host= by= unknown _hidden " \\ , ; = for="[2001:db8::1]:80"'.split(),
        *b"6.6.6.6 10.0.0.1 127.0.0.1 [::1] ::ffff:10.0.0.1 :80 %eth0".split(),
        b" ",
        b"\t",
    )
    client = "203.0.113.7"

    def __init__(self):
        networks = (ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"))
        self._ways = [
            (name, added, ProxiesConfig(networks, headers=kind))
            for name, added, kind in (
                ("x-forwarded-for", self.client, ForwardingHeaders.X_FORWARDED),
                ("forwarded", f'proto=https;for="{self.client}:80"', ForwardingHeaders.FORWARDED),
            )
        ]

    def __call__(self, data):
        text = data.decode("latin-1")
        for name, added, proxies in self._ways:
            for lines in (
                [text, added],
                [f"{text}, {added}"],
                [text, f"{added}, {added.replace(self.client, '10.0.0.9')}"],
            ):
                headers = CIMultiDict((name, line) for line in lines)
                view = quickly(lambda headers=headers, proxies=proxies: public_view(proxies, ("10.0.0.1", 1), headers))
                must(view.peer[0] == self.client, f"the client is {view.peer}")
            alone = CIMultiDict([(name, text), ("x-forwarded-host", text), ("x-forwarded-port", text), ("host", "a")])
            view = quickly(lambda headers=alone, proxies=proxies: public_view(proxies, ("10.0.0.1", 1), headers))
            must(view.host == "a" or re.fullmatch(r"[\[\]:.\w-]+", view.host, re.ASCII), f"the host is {view.host}")


TARGETS = {
    "forwarded": ForgedClients,
    "reader": Reader,
    "message": Message,
    "handshake": Handshake,
    "server": Server,
    "schema": Schema,
    "template": Template,
    "body": Body,
    "request": Request,
    "actions": Actions,
    "texts": Texts,
    "position": Positions,
    "conversing": Conversing,
    "session": Sessions,
    "feed": Feeds,
    "token": lambda: TokenTarget(must, quickly),
}


def mutated(chance, seeds, words):
    """Change an input a little, or more."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
        start, size = chance.randint(0, len(data)), chance.choice((1, 1, 2, 4, 8, 64))
        match chance.randrange(8):
            case 0 if data:
                data[start % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[start % len(data)] = chance.choice(BORDERS)
            case 2:
                del data[start : start + size]
            case 3:
                data[start:start] = data[start : start + size] * chance.choice((1, 2, 20))
            case 4:
                data[start:start] = chance.randbytes(size)
            case 5:
                other = chance.choice(seeds)
                data[start:] = other[chance.randint(0, len(other)) :]
            case _:
                data[start : start + chance.choice((0, 0, size))] = chance.choice(words)
    return bytes(data[:LONGEST])


def settled(target):
    """Give the bytes that the process holds, but for what clients of the fuzzer's own leave to the collector."""
    gc.collect()
    return resident() - getattr(target, "kept", 0)


def resident():
    """Give the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def attempt(name, target, data):
    """Try an input; tell whether the target kept its rules."""
    try:
        target(data)
    except Exception:  # noqa: BLE001 - whatever it is, it must not be
        kept = CORPUS / name / f"broken-{hashlib.sha256(data).hexdigest()[:12]}.bin"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
        print(f"{name} breaks on {data[:200]!r}, kept as {kept.name}\n{traceback.format_exc()}")
        return False
    return True


def fuzz(name, target, goes_on, chance, *, on=False):
    """Try the corpus, then mutations of it while `goes_on` says so; give their count, or None when a rule broke.

    With `on`, it goes on after that.
    """
    seeds = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    sound = sum(attempt(name, target, seed) for seed in seeds) == len(seeds)
    tried, before = 0, 0
    while (sound or on) and goes_on(tried):
        faulthandler.dump_traceback_later(HANG, exit=True)
        for _ in range(BATCH):
            data = target.make(chance) if hasattr(target, "make") else mutated(chance, seeds, target.words)
            sound &= attempt(name, target, data)
            if not (sound or on):
                break
        tried += BATCH
        if tried == 10 * BATCH:
            before = settled(target)
    faulthandler.cancel_dump_traceback_later()
    grown = settled(target) - before
    if before and grown > GROWTH:
        print(f"{name} grew by {grown >> 20} MiB in {tried} inputs")
        return None
    return tried if sound else None


def main():
    """Fuzz what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1, help="for all targets together (1)")
    parser.add_argument("--rounds", type=int, help="inputs for each target, rather than minutes")
    parser.add_argument("--seed", type=int, default=None, help="of the mutations; any by default")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one; may be given several times")
    parser.add_argument("--without-clock", action="store_true", help="let targets work as long as they like")
    parser.add_argument("--all", action="store_true", help="go on after an input that breaks a rule")
    options = parser.parse_args()
    Clock.allowed = float("inf") if options.without_clock else CLOCK
    seed = random.randrange(2**32) if options.seed is None else options.seed
    names = options.target or list(TARGETS)
    print(f"seed {seed}", flush=True)
    broken = False
    for name in names:
        end = time.monotonic() + options.minutes * 60 / len(names)

        def goes_on(tried, end=end):
            return tried < options.rounds if options.rounds is not None else time.monotonic() < end

        with contextlib.ExitStack() as stack:
            target = TARGETS[name]()
            if isinstance(target, Server):
                stack.callback(target.close)
            calm_collector()  # as `run` does
            tried = fuzz(name, target, goes_on, random.Random(f"{seed} {name}"), on=options.all)
        broken |= tried is None
        print(f"{name}: {'BROKEN' if tried is None else f'{tried} inputs, no rule broken'}", flush=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())

"""The log, when clients send texts that were made to break logs: 1,000 of them, in every place that they can fill."""

import json
import queue
import random
import re
import signal
import socket
import ssl
import threading
import unicodedata
from contextlib import suppress
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import quote, urlsplit

from jsonschema import Draft202012Validator

from signalpost.websocket.frames import Opcode

COUNT = 1_000
UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
PIECES = (
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r\n", "\n", "\r", "\0", "\x08", "\x7f", "\x85", "\u2028", "\u2029",
    "\u202e", "\u2066", "\u2069", "\u200f", "\ufeff", "\u200b", "\U000e0041", "\ud800", "\udfff",
    '"', "\\", "'", "{", "}",
    "%s", "%(name)s", "{{ 1 }}", "\t", "é", "日本", "👨\u200d👩", "2026-01-01 00:00:00,000 ERROR signalpost: forged",
    '{"time":"2026-01-01T00:00:00.000Z","level":"error","logger":"signalpost","message":"forged"}',
)  # fmt: skip

YAML = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: web-tls, address: 127.0.0.1, port: 0, protocol: https, fallbacks: [sse], self_signed: true}
      - {name: live-tls, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}
    routes:
      - {path: /page/<name>, method: GET, endpoint: [web, web-tls], handler: page}
    signals:
      - {path: /rooms/<room>, do: [{log: "step {{ params.room }} {{ message }}"}]}
      - {path: /said/<number>, handler: said}
      - {path: /kept/<room>, do: [{set: {"votes.{{ data.poll }}": "{{ message.x.y }}"}}]}
"""
PLUGIN = """
    import json
    import logging
    from signalpost import route, signal

    LOG = logging.getLogger("plugin")

    @signal("said", path="/own")
    async def said(event):
        text = json.loads(event.data.message)
        LOG.info("message %s: %s", event.params["number"], text)
        if event.data.document.get("fails"):
            raise ValueError(text)

    @route("page", path="/own")
    async def page(event):
        LOG.info("agent %s of %s", event.request.headers.get("user-agent"), event.request.path)
        return {}
"""


def hostile_texts():
    """Make the texts, always the same ones."""
    chance = random.Random(16)
    return ["".join(chance.choices(PIECES, k=chance.randrange(1, 9))) for _ in range(COUNT)]


def as_bytes(text):
    """Return a text as a careless client sends it, with surrogates."""
    return text.encode("utf-8", "surrogatepass")


def frame(opcode, payload):
    """Return a frame of a client, masked with zeros."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


class Stranger:
    """A client that sends bytes as they are, inside TLS if the URL says so.

    Args:
        url: of an endpoint.
    """

    def __init__(self, url):
        self._address = urlsplit(url).hostname, urlsplit(url).port
        self._tls = None
        if urlsplit(url).scheme in {"https", "wss"}:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE

    def _connect(self):
        sock = socket.create_connection(self._address, timeout=20)
        return sock if self._tls is None else self._tls.wrap_socket(sock)

    def send(self, *parts, half=False, leaves=False):
        """Send parts, each after the answer to the one before; return what comes until the end.

        Args:
            parts: bytes.
            half: whether the last of them is followed by the end of what is sent.
            leaves: whether it goes after the first bytes of the last answer, which may have no end.
        """
        received = b""
        with self._connect() as sock, suppress(OSError):
            for part in parts[:-1]:
                sock.sendall(part)
                received += sock.recv(65_536)
            sock.sendall(parts[-1])
            if half:
                sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(65_536):
                received += more
                if leaves:
                    break
        return received

    def request(self, target, *headers, body=None, leaves=False):
        """Send a request with a path, headers and a body as they are."""
        method, more = (b"GET", ()) if body is None else (b"POST", (b"Content-Length: %d" % len(body),))
        lines = (method + b" " + target + b" HTTP/1.1", b"Host: localhost", *headers, *more, b"Connection: close")
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""), leaves=leaves)

    def speak(self, path, message, *headers, reason=b""):
        """Open a WebSocket, send a message, and close with a reason."""
        lines = (
            b"GET " + path.encode() + b" HTTP/1.1",
            b"Host: localhost",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *headers,
        )
        closing = frame(Opcode.CLOSE, b"\x03\xe8" + reason[:120])
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n", frame(Opcode.TEXT, message) + closing)


def attack(urls, *, fails):
    """Send each text in each place.

    Args:
        urls: of the endpoints.
        fails: whether some messages make a handler raise them, which takes the log many lines.
    """
    known = {name: Stranger(url) for name, url in urls.items()}
    for number, text in enumerate(hostile_texts()):
        raw = as_bytes(text)
        quoted = quote(raw, safe="")
        live, web = (known[name + ("" if number % 3 else "-tls")] for name in ("live", "web"))
        # The server refuses half characters in JSON, so the plugin makes them.
        said = json.dumps({"message": json.dumps(text), "fails": fails and number % 20 == 0}).encode()
        plain = json.dumps({"message": text, "poll": text}).encode()
        assert b" 101 " in live.speak(f"/said/{number}", said, b"User-Agent: " + quoted.encode(), reason=raw)
        match number % 10:
            case 0:
                live.speak(f"/rooms/{quoted}", plain, reason=raw)
            case 1:
                live.speak("/kept/a", plain)
            case 2:
                assert web.request(f"/rooms/{quoted}".encode(), body=plain).startswith(b"HTTP/1.1 ")
            case 3:
                target = f"/rooms/{quoted}?at={quoted}".encode()
                assert web.request(target, b"Accept: text/event-stream", leaves=True).startswith(b"HTTP/1.1 ")
            case place:
                break_head(known["live"], known["web"], raw, plain, place)


def break_head(live, web, raw, message, place):
    """Send bytes in a head as they are. Not inside TLS, where the server waits for more before it closes."""
    match place:
        case 4:
            live.speak("/rooms/a", message, b"Sec-WebSocket-Protocol: " + raw)
        case 5:
            web.request(b"/page/" + quote(raw, safe="").encode(), b"User-Agent: " + raw.replace(b"\n", b" "))
        case 6:
            web.request(b"/page/" + raw, b"Cookie: " + raw)
        case 7:
            web.send(raw + b"\r\n\r\n", half=True)
        case 8:
            live.speak("/rooms/a", message, b"User-Agent: " + raw)
        case 9:
            live.speak("/rooms/a", raw, b"Origin: http://" + raw)


def schema():
    document = json.loads(files("signalpost.cli").joinpath("log.schema.json").read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


class Logging:
    """A server in a process of its own, whose log is read while it is written.

    Attributes:
        lines: of the log, so far.
    """

    def __init__(self, process):
        self._process = process
        self._new = queue.SimpleQueue()
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stderr:
            self.lines.append(line)
            self._new.put(line)

    def urls(self):
        """Wait until it serves, and return the URLs of its endpoints; of a log of JSON."""
        found = {}
        while True:
            record = json.loads(self._new.get(timeout=20))
            assert record["level"] == "info", record
            said = record["message"]
            if said.endswith("Ctrl-C stops"):
                return found
            name, url = said.split()
            found[name] = url

    def end(self):
        """Stop it, and return the lines of its log."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0
        self._reader.join()
        text = "".join(self.lines)
        assert text.endswith("\n")
        return text.removesuffix("\n").split("\n")


def test_each_line_is_one_object_of_the_schema_whatever_1000_hostile_texts_are_sent(write, process):
    write(YAML, hostile=PLUGIN)
    server = Logging(process("run", "--access-log", "--log-level", "info", LOG_FORMAT="json"))
    attack(server.urls(), fails=True)
    lines = server.end()
    judge, records = schema(), []
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        records.append(json.loads(line))
        judge.validate(records[-1])
    said = [record for record in records if record["logger"] == "plugin"]
    numbers = {int(found[1]) for each in said if (found := re.match(r"message (\d+): ", each["message"]))}
    assert numbers == set(range(COUNT))
    assert all(each["path"].startswith(("/said/", "/page/")) for each in said)
    opened = [each for each in records if each.get("access", {}).get("status") == HTTPStatus.SWITCHING_PROTOCOLS]
    assert {each["client"] for each in said if "client" in each} < {each["client"] for each in opened}
    answered = {each["access"]["status"] for each in records if "access" in each}
    assert {101, 200, 202, 400, 403} <= answered
    endpoints = {each["access"]["endpoint"] for each in records if each.get("access", {}).get("endpoint")}
    assert endpoints == {"web", "live", "web-tls", "live-tls"}
    assert {each["error"]["type"] for each in records if "error" in each} == {"ValueError"}
    assert not any(each["message"] == "forged" for each in records)


def test_the_text_format_has_one_line_for_each_record_whatever_1000_hostile_texts_are_sent(write, process, serving):
    write(YAML, hostile=PLUGIN)
    started = process("run", "--access-log", "--log-level", "info")
    log = Logging(started)
    attack(serving(started).urls, fails=False)
    lines = log.end()
    begins = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) (signalpost|plugin)[\w.]*: (.*)")
    found = [begins.fullmatch(line) for line in lines]
    assert [line for line, match in zip(lines, found, strict=True) if match is None] == []
    assert [line for line in lines if not printable(line)] == []
    numbers = [int(number) for match in found for number in re.findall(r"^message (\d+): ", match[3])]
    assert sorted(numbers) == list(range(COUNT))


def printable(line):
    """Return whether a line has no control characters, and none that change the look of others; joiners are letters."""
    return not any(unicodedata.category(char) in UNSAFE for char in line.replace("\u200d", ""))

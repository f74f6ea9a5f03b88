"""A codec from outside: clients that ask for its subprotocol read what it words, and nobody else notices."""

import orjson

from signalpost.delivery.codec import Codec
from signalpost.node import Seams
from signalpost.testing import serve
from signalpost.websocket.frames import Opcode, encode_frame

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws, compression: {threshold: 64B}}]
signals: [{path: /chat}]
"""


class Lines(Codec):
    """Everything is a line: a word, and what belongs to it."""

    name = "lines"

    def value(self, publication):
        line = b"value " + (publication.path or "-").encode() + b" " + publication.data
        return encode_frame(Opcode.TEXT, line)

    def alone(self, value, path):
        return encode_frame(Opcode.TEXT, b"value " + path.encode() + b" " + orjson.dumps(value))

    def welcome(self, client_id, path):
        return encode_frame(Opcode.TEXT, f"welcome {client_id} {path}".encode())

    def error(self, error, ref):  # noqa: ARG002 - lines have no room for it
        return encode_frame(Opcode.TEXT, f"error {error.code}".encode())


async def test_a_codec_from_outside_words_all_that_its_clients_read():
    async with (
        serve(APP, seams=Seams(codecs=[Lines()])) as app,
        app.connect("/chat", subprotocols=["lines"]) as lines,
        app.connect("/chat") as plain,
        app.connect("/chat", subprotocols=["signalpost.v1"]) as v1,
    ):
        assert await lines.receive() == f"welcome {lines.id} /chat"
        assert "welcome" in await v1.receive_json()
        await plain.send("x" * 500)
        assert await lines.receive() == "value /chat " + "x" * 500
        assert await plain.receive() == "x" * 500
        assert (await v1.receive_json())["signal"]["value"] == "x" * 500
        await lines.send_raw("no JSON")
        assert await lines.receive() == "error bad-message"
        assert {each.protocol for each in app.server.inspect().clients} == {"lines", "", "signalpost.v1"}

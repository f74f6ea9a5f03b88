"""A server that takes tokens, and a clock by which they end."""

import contextlib

import jwt
import orjson

from signalpost.node import Seams
from signalpost.testing import serve

SECRET = "a secret of the tests that is long enough for HS256"
NOW = 1_900_000_000.0
V1 = "signalpost.v1"
AUTH = f"auth: {{tokens: {{keys: {{secret: {SECRET}}}, algorithms: [HS256], leeway: 5s}}}}\n"
ENDPOINTS = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
undeclared: refuse
"""
ROOMS = """
signals:
  - {path: /open, rebroadcast: path, may: {connect: anyone}}
  - {path: "/rooms/<room>", rebroadcast: path, history: 20, may: {connect: "{{ params.room in claims.rooms }}"}}
"""


class Time:
    """Seconds since 1970, which only the test moves."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class TokenApp:
    """A running app that takes tokens.

    Attributes:
        app: as `signalpost.testing.serve` gives it.
        time: of the node.

    """

    def __init__(self, app, time):
        self.app = app
        self.time = time

    @property
    def expiries(self):
        return self.app.server.node.expiries

    def token(self, user="ann", lasts=900, *, rooms=("blue",), key=SECRET, **claims):
        """Sign a token that ends so many seconds from now."""
        claims = {"sub": user, "exp": int(self.time.now + lasts), "rooms": list(rooms), **claims}
        return jwt.encode(claims, key, "HS256")

    def pass_by(self, seconds):
        """Let time pass, and all be told and closed whose time has come."""
        self.time.now += seconds
        self.expiries.look()

    @contextlib.asynccontextmanager
    async def client(self, token=None, path="/rooms/blue", *, v1=True):
        """Connect a client, and read its welcome."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        protocols = [V1] if v1 else []
        async with self.app.connect(path, subprotocols=protocols, additional_headers=headers) as client:
            client.welcome = (await client.receive_json())["welcome"] if v1 else None
            yield client


@contextlib.asynccontextmanager
async def token_app(text=AUTH + ROOMS, **options):
    """Serve an app that takes tokens, by a clock of the test."""
    time = Time()
    async with serve(ENDPOINTS + text, seams=Seams(clock=time), **options) as app:
        yield TokenApp(app, time)


async def show(client, token, ref=1):
    """Show another token, and return the answer."""
    await client.send_raw(renewal(token, ref))
    return await client.receive_json()


def renewal(token, ref=1):
    return orjson.dumps({"signalpost": {"token": token}, "ref": ref}).decode()

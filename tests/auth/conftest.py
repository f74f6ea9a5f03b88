"""Keys of every kind, tokens with any header and payload, and a judge whose clock the test moves."""

import base64
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import Tokens
from signalpost.config.authmodel import TokensConfig
from signalpost.jose.keys import SigningKey, fitting, secret_key
from signalpost.jose.keyset import read_keys

NOW = 1_800_000_000.0
SECRET = b"mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3FmCVKTCk6jGWhXVjmgyRW"
ALGORITHMS = get_default_algorithms()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Keys:
    """Private keys by algorithm, made once; ``jwk`` has the public half."""

    def __init__(self):
        made_rsa = rsa.generate_private_key(65537, 2048)
        self.private = {
            **dict.fromkeys(("HS256", "HS384", "HS512"), SECRET),
            **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), made_rsa),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "ES384": ec.generate_private_key(ec.SECP384R1()),
            "ES512": ec.generate_private_key(ec.SECP521R1()),
            "ES256K": ec.generate_private_key(ec.SECP256K1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }
        self.ed448 = ed448.Ed448PrivateKey.generate()

    def jwk(self, algorithm, *, key=None, **more):
        key = key or self.private[algorithm]
        return {**ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True), **more}

    def verification(self, algorithm, kid=None):
        """Return the key that checks what an algorithm has signed."""
        if algorithm.startswith("HS"):
            return secret_key(SECRET)
        more = {} if kid is None else {"kid": kid}
        return read_keys(json.dumps(self.jwk(algorithm, **more)).encode()).keys[0]


@pytest.fixture(scope="session")
def keys():
    return Keys()


def signed(header, payload, key, algorithm=None):
    """Return a token with exactly these parts; they are JSON unless they are bytes."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, payload)]
    text = ".".join(map(b64, parts))
    return f"{text}.{b64(ALGORITHMS[algorithm or header['alg']].sign(text.encode(), key))}"


@pytest.fixture(scope="session")
def sign(keys):
    """Sign claims; ``sub`` and ``exp`` are there unless they are given, and None leaves one out."""

    def make(algorithm="HS256", header=None, key=None, payload=None, **claims):
        header = {"alg": algorithm, **(header or {})}
        whole = {"sub": "ann", "exp": NOW + 60, **claims}
        whole = {name: value for name, value in whole.items() if value is not None}
        return signed(header, whole if payload is None else payload, key or keys.private[algorithm], algorithm)

    return make


@pytest.fixture(scope="session")
def raw_token():
    return signed


@pytest.fixture
def clock(make_clock):
    return make_clock(NOW)


@pytest.fixture
def judge(keys, clock):
    """Make a judge of tokens: ``judge("ES256", audiences=("a",))``; its keys are those of the algorithms."""

    def make(*algorithms, only=None, most=10_000, **rules):
        algorithms = algorithms or ("HS256",)
        found = only if only is not None else dict.fromkeys(map(keys.verification, algorithms))
        found = [each.public if isinstance(each, SigningKey) else each for each in found]
        config = TokensConfig(algorithms, fitting(found, algorithms), **rules)
        return Tokens(config, Keyring(config.keys), clock, most)

    return make


class LoginServer:
    """An HTTP server that publishes keys, and answers as the test says.

    Attributes:
        body: what it answers with.
        status: of its answers.
        headers: further ones; ``X-Length`` is told instead of the body's length.
        requests: the paths that were asked for, in order.
        open: cleared, it lets those who ask wait.
        arrived: released for each request.
    """

    def __init__(self, context=None):
        self.body = b""
        self.status = 200
        self.headers = {}
        self.requests = []
        self.open = threading.Event()
        self.open.set()
        self.arrived = threading.Semaphore(0)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "http" if context is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def address(self):
        return f"{self.scheme}://127.0.0.1:{self._server.server_address[1]}/jwks.json"

    def publish(self, *jwks):
        self.status, self.body = 200, json.dumps({"keys": jwks}).encode()

    def stop(self):
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler_of(login):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            login.requests.append(self.path)
            login.arrived.release()
            login.open.wait()
            self.send_response(login.status)
            for name, value in login.headers.items():
                self.send_header(name, value)
            if "Transfer-Encoding" not in login.headers:
                self.send_header("Content-Length", login.headers.get("X-Length", str(len(login.body))))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(login.body)

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def login():
    """A login server."""
    server = LoginServer()
    yield server
    server.stop()


@pytest.fixture
def secure_login():
    """Make a login server with TLS, by its context."""
    made = []

    def make(context):
        made.append(LoginServer(context))
        return made[-1]

    yield make
    for server in made:
        server.stop()

"""The fuzzer's target for tokens: as strangers send them, and as a signer might make them that has lost its mind."""

import base64
import hashlib
import hmac

from signalpost.auth.keyring import Keyring
from signalpost.auth.sources import find_token
from signalpost.auth.tokens import Tokens
from signalpost.config.authmodel import AuthConfig, TokenPlace, TokensConfig
from signalpost.errors import UnauthorizedError
from signalpost.events import HandshakeRequest
from signalpost.jose.keys import fitting, secret_key

NOW = 1_800_000_000.0
SECRET = b"mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3F"
LONGEST_ANSWER = 1000
ALL = AuthConfig(places=tuple(TokenPlace), cookie="token")


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenTarget:
    """An input is a header and a payload, parted by a line's end: signed, it names a user or is refused in one line.

    As it is, it is no token; nor is a signed one with another signature.
    """

    words = (
        *(
            b'"alg":',
            b'"HS256"',
            b'"none"',
            b'"kid":',
            b'"crit":',
            b'"b64":false',
            b'"typ":',
            b'"cty":"JWT"',
            b'"enc":',
        ),
        *(
            b'"exp":',
            b"1900000000",
            b"1e400",
            b"-0",
            b'"sub":',
            b'"ann"',
            b'""',
            b'"nbf":',
            b'"iat":',
            b'"aud":',
            b'"iss":',
        ),
        *(
            b'"jti":',
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\n",
            b"NaN",
            b"null",
            b"true",
            b"\\ud800",
            b"\\u0000",
            b"\\u202e",
        ),
        *(
            "\u202e".encode(),
            b"\xff",
            b'"\\u0061":',
            b'"a":',
            b"[" * 300,
            b"9" * 5000,
            b".",
            b"=",
            b"eyJhbGciOiJIUzI1NiJ9",
        ),
    )

    def __init__(self, must, quickly):
        self._must, self._quickly = must, quickly
        keys = fitting([secret_key(SECRET)], ("HS256",))
        config = TokensConfig(("HS256",), keys, issuers=("a",), audiences=("b", "c"))
        self._tokens = Tokens(config, Keyring(keys), lambda: NOW, most=100)

    def __call__(self, data):
        header, _, payload = data.partition(b"\n")
        text = f"{_b64(header)}.{_b64(payload)}"
        signature = hmac.digest(SECRET, text.encode(), hashlib.sha256)
        user = self._user(f"{text}.{_b64(signature)}")
        self._must(user is None or 0 < len(user) <= 255, "a user without a name, or with a long one")
        self._must(user is None or "\n" not in user, "a user of two lines")
        self._must(self._user(f"{text}.{_b64(signature[::-1])}") is None, "another signature is good")
        self._must(self._user(data.decode("latin-1")) is None, "what nobody has signed is good")
        self._found(data.decode("latin-1"))

    def _user(self, text):
        def judged():
            try:
                return self._tokens.verify(text).user
            except UnauthorizedError as error:
                said = str(error)
                self._must(said.isprintable() and len(said) < LONGEST_ANSWER, f"no line for a client: {said!r}")
                return None

        return self._quickly(judged)

    def _found(self, text):
        names = ("Authorization", "Cookie", "Sec-WebSocket-Protocol")
        lines = [f"GET /?{text} HTTP/1.1", *(f"{name}: {text}" for name in names)]
        request = HandshakeRequest("\r\n".join(lines).encode("latin-1"), ("", 0))

        def found():
            try:
                return find_token(request, ALL)
            except UnauthorizedError:
                return None

        shown = self._quickly(found)
        self._must(shown is None or isinstance(shown.text, str), "a token that is no text")

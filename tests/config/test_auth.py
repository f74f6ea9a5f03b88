"""The section `auth`: what is read, and each mistake at its place with what was probably meant."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.authmodel import ApiKeyConfig, KeyPermission, TokenPlace, TokensConfig
from signalpost.config.load import judge_config
from signalpost.jose.algorithms import KINDS, KeyKind

SECRET = "mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3F"
KEY = "pZ3vN8qTgY5kR1xC7wBh2sLf9mJd4aEu"
SOUND = f"tokens: {{keys: {{secret: {SECRET}}}, algorithms: [HS256]}}"
MAKE = 'make one: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
MAKE_KEY = 'make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="session", autouse=True)
def key_files(app):
    """Files with keys in the folder of the app."""
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    jwks = [
        {**ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "a"},
        {**OKPAlgorithm.to_jwk(edwards.public_key(), as_dict=True), "kid": "b"},
        {"kty": "oct", "k": "AAAA", "kid": "c"},
    ]
    (app / "keys.json").write_text(json.dumps({"keys": jwks}))
    (app / "key.pem").write_bytes(pem(curve))
    (app / "ed.pem").write_bytes(pem(edwards))
    (app / "weak.pem").write_bytes(pem(rsa.generate_private_key(65537, 1024)))
    (app / "empty.json").write_text('{"keys": []}')
    (app / "text.pem").write_text("hello")
    (app / "private.pem").write_bytes(
        curve.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def tokens(text):
    return f"auth: {{tokens: {{{text}}}}}"


def test_without_the_section_nobody_is_asked(config):
    assert config("").auth is None
    read = config("auth: {}").auth
    assert (read.tokens, read.secret, read.api_keys, read.cookie) == (None, None, (), None)


def test_everything_is_read(config):
    read = config(
        f"""
        auth:
          tokens:
            keys: {{secret: {SECRET}}}
            algorithms: [HS256]
            issuer: https://a
            audience: [b, c]
            user: email
            leeway: 0
            lasting: true
          from: [query, cookie, header]
          cookie: __Host-token
          secret: {SECRET}
          keys:
            shop: {{key: {KEY}, may: [publish, history]}}
        """
    ).auth
    (key,) = read.tokens.keys
    assert (key.kind, key.algorithms, key.material) == (KeyKind.SECRET, {"HS256"}, SECRET.encode())
    assert read.tokens == TokensConfig(("HS256",), (key,), None, None, ("https://a",), ("b", "c"), "email", 0.0, True)
    assert read.places == (TokenPlace.HEADER, TokenPlace.COOKIE, TokenPlace.QUERY)
    assert (read.cookie, read.secret) == ("__Host-token", SECRET.encode())
    assert read.api_keys == (ApiKeyConfig("shop", KEY, frozenset({KeyPermission.PUBLISH, KeyPermission.HISTORY})),)
    assert SECRET not in repr(read)
    assert KEY not in repr(read)


def test_what_is_not_said_is_the_default(config):
    read = config(f"auth: {{{SOUND}}}").auth
    assert (read.tokens.user, read.tokens.leeway, read.tokens.lasting) == ("sub", 10.0, False)
    assert (read.tokens.issuers, read.tokens.audiences) == ((), ())
    assert read.places == (TokenPlace.HEADER, TokenPlace.PROTOCOL)


def test_a_cookie_that_is_named_is_read(config):
    read = config(f"auth: {{{SOUND}, cookie: token}}").auth
    assert (read.places[-1], read.cookie) == (TokenPlace.COOKIE, "token")


@pytest.mark.parametrize(
    ("file", "algorithms", "kinds"),
    [
        ("keys.json", "[ES256, EdDSA]", ["P-256", "Ed25519"]),
        ("keys.json", "[EdDSA]", ["Ed25519"]),
        ("key.pem", "[ES256]", ["P-256"]),
        ("private.pem", "[ES256]", ["P-256"]),
    ],
)
def test_a_file_of_keys_is_read_watched_and_private(config, app, file, algorithms, kinds):
    read = config(tokens(f"keys: {file}, algorithms: {algorithms}"))
    assert read.auth.tokens.file == app / file
    assert [str(key.kind) for key in read.auth.tokens.keys] == kinds
    assert app / file in read.files
    assert app / file in read.private.files
    assert read.auth.tokens.keys[0].material is not None
    assert not hasattr(read.auth.tokens.keys[0].material, "private_numbers")


@pytest.mark.parametrize(
    "address",
    ["https://a.example/jwks", "HTTPS://a:8443/?x=1", "http://localhost:1/", "http://127.0.0.1/", "http://[::1]/"],
)
def test_an_address_is_read_and_not_asked(config, address):
    read = config(tokens(f"keys: '{address}', algorithms: [ES256, RS256]")).auth.tokens
    assert (read.address, read.keys, read.file) == (address, (), None)


def test_a_route_that_would_show_the_keys_is_a_mistake(problems):
    text = tokens("keys: private.pem, algorithms: [ES256]") + "\nroutes: [{path: /, file: private.pem}]"
    assert problems(text) == [
        "5:26: routes[0].file: this would show private.pem to everyone: keep served files in a folder of their own"
    ]


def test_a_token_in_the_address_is_noted_and_allowed(config):
    (note,) = config(f"auth: {{{SOUND}, from: [header, query]}}").notes
    assert note == (
        "routes.yaml:4: a token in the address (from: query) stands in the logs of every server on its way, and in the "
        "history of browsers; keep it for clients that can do nothing else"
    )
    assert not config(f"auth: {{{SOUND}}}").notes


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "keys: key.pem, algorithms: [ES256, HS256]",
            (
                "4:52: auth.tokens.algorithms[1]: HS256 is signed with a shared secret, and keys is a set of "
                "public ones; leave it out"
            ),
        ),
        (
            "keys: https://a.example/, algorithms: [HS256]",
            (
                "4:56: auth.tokens.algorithms[0]: HS256 is signed with a shared secret, and keys is a set of "
                "public ones; leave it out"
            ),
        ),
        (
            f"keys: {{secret: {SECRET}}}, algorithms: [ES256]",
            (
                "4:92: auth.tokens.algorithms[0]: ES256 is checked with a public key, and keys is a shared "
                "secret (allowed with it: HS256, HS384, HS512)"
            ),
        ),
        (
            "keys: key.pem, algorithms: [RS256]",
            '4:23: auth.tokens.keys: "key.pem" has no key for RS256: it has P-256 for ES256',
        ),
        (
            "keys: key.pem, algorithms: [ES256, EdDSA]",
            (
                '4:52: auth.tokens.algorithms[1]: no key of "key.pem" can be used with EdDSA: it has P-256 '
                "for ES256; leave it out"
            ),
        ),
        (
            "keys: weak.pem, algorithms: [RS256]",
            (
                '4:23: auth.tokens.keys: "weak.pem" has no key for RS256: it has an RSA key of 1024 bits, '
                "which can be broken (allowed: from 2048)"
            ),
        ),
        (
            "keys: empty.json, algorithms: [RS256, ES256]",
            '4:23: auth.tokens.keys: "empty.json" has no key for RS256 or ES256: it is empty',
        ),
        (
            "keys: text.pem, algorithms: [RS256]",
            (
                '4:23: auth.tokens.keys: "text.pem" is neither JSON (a JWK Set, or a single key) nor PEM '
                "(-----BEGIN PUBLIC KEY-----)"
            ),
        ),
        (
            "keys: key.pem, algorithms: [ES256, es256]",
            (
                '4:52: auth.tokens.algorithms[1]: "es256" is not allowed here; did you mean "ES256"? '
                "(allowed: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, "
                "ES512 and 2 more)"
            ),
        ),
        (
            "keys: key.pem, algorithms: [ES256, ES256]",
            '4:52: auth.tokens.algorithms[1]: "ES256" is listed already, as number 1: leave this out',
        ),
        (
            "keys: key.pem, algorithms: []",
            "4:44: auth.tokens.algorithms: must not be empty: give at least one",
        ),
        (
            "keys: key.pem, algorithms: ES256",
            '4:44: auth.tokens.algorithms: must be a list, not the text "ES256": write [ES256]',
        ),
        (
            "keys: key.pem",
            '4:16: auth.tokens: the key "algorithms" is missing, for example algorithms: [ES256]',
        ),
        (
            "algorithms: [ES256]",
            '4:16: auth.tokens: the key "keys" is missing, for example keys: https://id.example.com/',
        ),
        (
            "keys: {}, algorithms: [HS256]",
            '4:23: auth.tokens.keys: the key "secret" is missing, for example secret: mCVK',
        ),
        (
            "keys: {secrt: x}, algorithms: [HS256]",
            '4:24: auth.tokens.keys.secrt: no key "secrt" here; did you mean "secret"?',
        ),
        (
            "keys: kez.pem, algorithms: [ES256]",
            '4:23: auth.tokens.keys: no file "kez.pem" in the folder of routes.yaml',
        ),
        (
            "keys: http://a.example/, algorithms: [ES256]",
            (
                "4:23: auth.tokens.keys: http is not encrypted, so anyone on the way could put in a key of "
                "their own: use https:// (http only for this machine: localhost, 127.0.0.1, ::1)"
            ),
        ),
        (
            "keys: ftp://a.example/, algorithms: [ES256]",
            (
                "4:23: auth.tokens.keys: the address of a JWK Set begins with https://, not with ftp://, as "
                "in https://id.exam"
            ),
        ),
        (
            "keys: https://a:b@c/, algorithms: [ES256]",
            "4:23: auth.tokens.keys: public keys need no user and no password: leave them out",
        ),
        (
            "keys: 'https://a/#b', algorithms: [ES256]",
            "4:23: auth.tokens.keys: what follows # is never sent to a server: leave it out",
        ),
        (
            "keys: 'https://a b/', algorithms: [ES256]",
            "4:23: auth.tokens.keys: an address has no blanks and no control",
        ),
        (
            "keys: https://, algorithms: [ES256]",
            "4:23: auth.tokens.keys: it names no host, or no port",
        ),
        (
            "keys: 'https://a:99999/', algorithms: [ES256]",
            "4:23: auth.tokens.keys: its host or port cannot be read",
        ),
        (
            "keys: https://a/.well-known/openid-configuration, algorithms: [ES256]",
            (
                "4:23: auth.tokens.keys: this describes the login server; write the address that it gives as "
                "jwks_uri, as in"
            ),
        ),
        (
            "keys: key.pem, algorithms: [ES256], leeway: 11m",
            "4:61: auth.tokens.leeway: clocks differ by less (allowed: up to 10m)",
        ),
        (
            "keys: key.pem, algorithms: [ES256], leeway: -1s",
            '4:61: auth.tokens.leeway: "-1s" is no duration: it must be 0 or above',
        ),
    ],
)
def test_a_mistake_about_tokens_is_told_at_its_place(problems, said, expected):
    (found,) = problems(tokens(said))
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("secret", "algorithm", "good"),
    [
        ("a" * 31, "HS256", False),
        ("a" * 32, "HS256", True),
        ("ü" * 16, "HS256", True),
        ("a" * 47, "HS384", False),
        ("a" * 48, "HS384", True),
        ("a" * 63, "HS512", False),
        ("a" * 64, "HS512", True),
        ("a" * 63, "HS256, HS512", False),
    ],
)
def test_a_secret_is_as_long_as_the_hash(config, problems, secret, algorithm, good):
    text = tokens(f"keys: {{secret: {secret}}}, algorithms: [{algorithm}]")
    if good:
        assert config(text).auth.tokens.keys
        return
    name = algorithm.split(", ")[-1]
    least = {"HS256": 32, "HS384": 48, "HS512": 64}[name]
    (found,) = problems(text)
    assert found == (
        f"4:32: auth.tokens.keys.secret: too short to sign {name} with, so it could be guessed (allowed: from {least} "
        f"bytes); {MAKE}"
    )


def test_a_public_key_is_no_secret(problems, app):
    text = json.dumps((app / "key.pem").read_text())
    assert problems(tokens(f"keys: {{secret: {text}}}, algorithms: [HS256]")) == [
        "4:32: auth.tokens.keys.secret: a key in PEM or JWK form is no secret: put it into a file, and name that"
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            f"{SOUND}, from: [header, cookie]",
            "auth.from[1]: which cookie? add cookie: NAME to auth, for example cookie: __Host-token",
        ),
        (
            f"{SOUND}, from: [header], cookie: token",
            "auth.cookie: from does not name cookie, so none is read: write from: [header, cookie]",
        ),
        (
            f"{SOUND}, from: [header, header]",
            'auth.from[1]: "header" is listed already, as number 1: leave this out',
        ),
        (
            f"{SOUND}, from: [heder]",
            (
                'auth.from[0]: "heder" is not allowed here; did you mean "header"? (allowed: header, '
                "protocol, cookie, query)"
            ),
        ),
        (
            "from: [header]",
            (
                "auth.from: from says where a token stands, and none is taken: add tokens: {keys: …, "
                "algorithms: …}, or leave this out"
            ),
        ),
        (
            "cookie: a",
            (
                "auth.cookie: cookie says where a token stands, and none is taken: add tokens: {keys: …, "
                "algorithms: …}, or leave this out"
            ),
        ),
        (
            f"{SOUND}, cookie: 'a b'",
            ('auth.cookie: "a b" is no name of a cookie: it has letters, digits and any of !#$%&\'*+-.^_`|~'),
        ),
        (
            "secret: short",
            (f"auth.secret: too short to sign sessions with, so it could be guessed (allowed: from 32 bytes); {MAKE}"),
        ),
        (
            "keys: {shop: {key: short, may: [publish]}}",
            f"auth.keys.shop.key: too short to be safe (allowed: from 32 characters); {MAKE_KEY}",
        ),
        (
            f"keys: {{shop: {{key: '{KEY} ', may: [publish]}}}}",
            "auth.keys.shop.key: a header carries it, so only visible ASCII characters without blanks; " + MAKE_KEY,
        ),
        (
            f"keys: {{shop: {{key: {KEY}, may: [publish]}}, desk: {{key: {KEY}, may: [history]}}}}",
            f"auth.keys.desk.key: the same key as at routes.yaml:4: each program needs one of its own; {MAKE_KEY}",
        ),
        (
            f"keys: {{shop: {{key: {KEY}, may: [publish, publish]}}}}",
            'auth.keys.shop.may[1]: "publish" is listed already: leave this out',
        ),
        (
            f"keys: {{shop: {{key: {KEY}, may: [pubish]}}}}",
            (
                'auth.keys.shop.may[0]: "pubish" is not allowed here; did you mean "publish"? (allowed: '
                "publish, history, presence, clients, moderate)"
            ),
        ),
        (
            f"keys: {{shop: {{key: {KEY}, may: []}}}}",
            "auth.keys.shop.may: must not be empty: give at least one",
        ),
        (
            f"keys: {{shop: {{key: {KEY}}}}}",
            'auth.keys.shop: the key "may" is missing, for example may: [publish, history]',
        ),
        (
            f'keys: {{"a\\nb": {{key: {KEY}, may: [publish]}}}}',
            'auth.keys["a�b"]: a program\'s name is shown in logs: 1 to 64 visible characters',
        ),
        (
            "token: {}",
            'auth.token: no key "token" here; did you mean "tokens"?',
        ),
    ],
)
def test_a_mistake_beside_tokens_is_told_at_its_place(problems, said, expected):
    (found,) = problems(f"auth: {{{said}}}")
    place, _, text = found.partition(": ")
    assert place.startswith("4:")
    assert text.startswith(expected)


def test_a_secret_is_in_no_problem(problems):
    for said in (
        "tokens: {keys: {secret: unheard-of}, algorithms: [HS256]}",
        "secret: unheard-of",
        "keys: {shop: {key: unheard-of, may: [publish]}}",
    ):
        assert "unheard-of" not in "".join(problems(f"auth: {{{said}}}"))


def test_the_algorithms_of_the_schema_are_those_that_are_known(app):
    from signalpost.actions.builtin import routes_schema

    described = routes_schema()["properties"]["auth"]["properties"]["tokens"]["properties"]["algorithms"]["items"][
        "enum"
    ]
    assert described == list(KINDS)


def test_a_mistake_in_auth_hides_no_other_one(app):
    endpoints = "endpoints: [{name: a, address: '*', port: 1, protocol: ws}]"
    text = f"{endpoints}\nauth: {{tokens: 5, keys: []}}\nsignals: [{{path: a}}]\n"
    config, gaps = judge_config(text, file="routes.yaml", folder=app, actions=BUILT_IN)
    assert config.auth.tokens is None
    assert [problem.keys for problem in gaps.problems] == ["auth.tokens", "auth.keys", "signals[0].path"]

"""`signalpost token`: signed for development, and read for whoever wonders why one is not good."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm

SECRET = "mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3F"
SHARED = f"""undeclared: refuse
auth: {{tokens: {{keys: {{secret: {SECRET}}}, algorithms: [HS256], issuer: me, audience: [shop, desk]}}}}"""
HIDDEN = "undeclared: refuse\nauth: {tokens: {keys: {secret: !secret jwt}, algorithms: [HS256]}}"


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def secret_app(write):
    write(SHARED)


@pytest.fixture
def pem_files(folder):
    """Files with the halves of a key."""
    key = ed25519.Ed25519PrivateKey.generate()
    (folder / "public.pem").write_bytes(public_pem(key))
    (folder / "private.pem").write_bytes(private_pem(key))
    return key


def signed(signalpost, *arguments):
    done = signalpost("token", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


def test_a_token_is_printed_alone_and_says_what_it_was_told(secret_app, signalpost):
    token = signed(
        signalpost,
        *("--user", "ann", "--claim", "roles=admin", "--claim", 'rooms=["blue"]', "--claim", "age=7", "--for", "1h"),
    )
    claims = jwt.decode(token, SECRET, ["HS256"], audience="shop", issuer="me")
    assert (claims["sub"], claims["roles"], claims["rooms"], claims["age"]) == ("ann", "admin", ["blue"], 7)
    assert claims["exp"] - claims["iat"] == 3600
    assert len(claims["jti"]) == 32
    assert claims["jti"] not in signed(signalpost, "--user", "ann")


def test_a_claim_may_be_anything_and_replace_what_is_added(secret_app, signalpost):
    done = signalpost("token", "--user", "ann", "--claim", "aud=elsewhere", "--claim", "a=x=y", "--claim", "b=NaN")
    claims = jwt.decode(done.stdout.strip(), SECRET, ["HS256"], audience="elsewhere")
    assert (claims["a"], claims["b"]) == ("x=y", "NaN")
    assert done.stderr == (
        'signalpost: this app does not take it: the token is for "elsewhere", not for this server '
        '(aud; wanted: "shop", "desk")\n'
    )


def test_the_user_stands_in_the_claim_of_the_app(write, signalpost):
    write(SHARED.replace("issuer", "user: mail, issuer"))
    claims = jwt.decode(signed(signalpost, "--user", "a@b"), SECRET, ["HS256"], audience="shop")
    assert (claims["mail"], "sub" in claims) == ("a@b", False)


def test_a_private_key_of_the_app_signs(write, signalpost, folder):
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**ECAlgorithm.to_jwk(key, as_dict=True), "kid": "k1"}
    (folder / "keys.json").write_text(json.dumps({"keys": [jwk]}))
    write("undeclared: refuse\nauth: {tokens: {keys: keys.json, algorithms: [ES256]}}")
    token = signed(signalpost, "--user", "ann")
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "k1", "typ": "JWT"}
    assert jwt.decode(token, key.public_key(), ["ES256"])["sub"] == "ann"


def test_a_key_beside_the_app_signs_where_the_app_has_the_public_half(write, signalpost, pem_files):
    write("undeclared: refuse\nauth: {tokens: {keys: public.pem, algorithms: [EdDSA]}}")
    assert jwt.decode(signed(signalpost, "--user", "ann", "--key", "private.pem"), pem_files.public_key(), ["EdDSA"])
    done = signalpost("token", "--user", "ann")
    assert (done.exit_code, done.stdout, done.stderr) == (
        1,
        "",
        "signalpost: public.pem (auth.tokens.keys) holds public keys alone: name the private one by --key FILE\n",
    )


def test_a_key_that_the_app_does_not_know_signs_and_it_is_said(write, signalpost, folder):
    (folder / "public.pem").write_bytes(public_pem(ed25519.Ed25519PrivateKey.generate()))
    (folder / "other.pem").write_bytes(private_pem(ed25519.Ed25519PrivateKey.generate()))
    write("undeclared: refuse\nauth: {tokens: {keys: public.pem, algorithms: [EdDSA]}}")
    done = signalpost("token", "--user", "ann", "--key", "other.pem")
    assert (done.exit_code, done.stdout.count(".")) == (0, 2)
    assert done.stderr == (
        "signalpost: this app does not take it: the token's signature is not that of the Ed25519 key without an id\n"
    )


@pytest.mark.usefixtures("pem_files")
@pytest.mark.parametrize(
    "case",
    [
        (
            "",
            ("--user", "ann"),
            "routes.yaml has no auth.tokens, so no token is good for it; add for example auth: {tokens: ",
        ),
        ("undeclared: refuse\nauth: {}", ("--read", "x"), "routes.yaml has no auth.tokens"),
        (
            "undeclared: refuse\nauth: {tokens: {keys: 'https://a.example/jwks?secret=1', algorithms: [ES256]}}",
            ("--user", "ann"),
            "https://a.example/jwks (auth.tokens.keys) gives no private keys away: ask it for a token; for ",
        ),
        (SHARED, ("--user", "ann", "--key", "nowhere.pem"), "nowhere.pem cannot be read: no such file or directory"),
        (
            SHARED,
            ("--user", "ann", "--key", "routes.yaml"),
            "routes.yaml is neither JSON (a JWK Set, or a single key) nor",
        ),
        (SHARED, ("--user", "ann", "--key", "public.pem"), "public.pem holds no private key, which signing needs"),
        (
            SHARED,
            ("--user", "ann", "--key", "private.pem"),
            "no key (Ed25519) can be used with HS256 (auth.tokens.algorithms)",
        ),
    ],
)
def test_what_is_missing_is_said(write, signalpost, case):
    text, arguments, said = case
    write(text)
    done = signalpost("token", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"signalpost: {said}")
    assert "secret=1" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --user NAME to sign a token, or --read TOKEN to read one"),
        (("--user", "a", "--read", "b"), "give --user NAME to sign a token, or --read TOKEN to read one"),
        (("--read", "b", "--key", "k"), "--read signs nothing: leave out --claim and --key"),
        (("--user", "a", "--claim", "roles"), '"roles" is no claim; write for example roles=admin'),
        (("--user", "a", "--for", "5 minutes"), '"5 minutes" is not a duration; did you mean "5m"?'),
    ],
)
def test_a_command_that_makes_no_sense_says_so(secret_app, signalpost, arguments, said):
    done = signalpost("token", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


# Reading


def rows(output):
    """Return what is shown, by title and label."""
    found, title = {}, ""
    for line in output.splitlines():
        if line and not line.startswith(" "):
            title = line
        elif line.strip():
            label, _, text = line.strip().partition(" ")
            found[title, label] = text.strip()
    return found


def test_a_good_token_is_read(secret_app, signalpost):
    token = signed(signalpost, "--user", "ann", "--claim", "roles=admin")
    done = signalpost("token", "--read", token)
    shown = rows(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert shown["header", "alg"] == "HS256"
    assert shown["claims", "roles"] == "admin"
    assert " UTC, in 15 min  (" in shown["claims", "exp"]
    assert " UTC, " in shown["claims", "iat"]
    assert (shown["good", "user"], shown["good", "key"]) == ("ann", "the shared secret, from routes.yaml")
    assert shown["good", "left"] == "15 min"


def test_a_token_may_come_by_stdin_and_with_its_scheme(secret_app, signalpost):
    from click.testing import CliRunner

    from signalpost.cli import cli

    token = signed(signalpost, "--user", "ann")
    for text in (token, f"{token}\n", f"Bearer {token}", f"bearer  {token}\n"):
        done = CliRunner().invoke(cli, ("token", "--read", "-"), input=text)
        assert (done.exit_code, "good" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("change", "why", "rule"),
    [
        ({"exp": 1000}, "the token expired 20,", "leeway"),
        ({"aud": "x"}, 'the token is for "x"', "audience"),
        ({"iss": "x"}, 'the token is of the issuer "x"', "issuer"),
        ({"sub": ""}, "the token's claim", "user"),
    ],
)
@pytest.mark.usefixtures("secret_app")
def test_a_token_that_is_not_good_is_read_and_says_at_which_rule_it_fails(signalpost, change, why, rule):
    claims = {"sub": "ann", "exp": 9_999_999_999, "iss": "me", "aud": "shop", **change}
    done = signalpost("token", "--read", jwt.encode(claims, SECRET, "HS256"))
    shown = rows(done.stdout)
    assert (done.exit_code, done.stderr) == (1, "")
    assert shown["not good", "why"].startswith(why)
    assert shown["not good", "rule"] == f"auth.tokens.{rule}  (routes.yaml:5)"
    assert shown["not good", "key"] == "the signature is that of the shared secret"
    assert shown["claims", "sub"] == claims["sub"]


def test_a_token_of_another_key_is_read_too(secret_app, signalpost):
    done = signalpost("token", "--read", jwt.encode({"sub": "eve", "exp": 1e400}, "x" * 32, "HS256"))
    shown = rows(done.stdout)
    assert done.exit_code == 1
    assert shown["not good", "why"] == "the token's signature is not that of the shared secret"
    assert shown["not good", "rule"] == "auth.tokens.keys  (routes.yaml:5)"
    assert ("not good", "key") not in shown


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", "x" * 10_000, "a.b.c.d.e", "\u202e.e30.e30"])
def test_what_is_no_token_is_said_to_be_none(secret_app, signalpost, text):
    done = signalpost("token", "--read", text or " ")
    assert (done.exit_code, done.stderr) == (1, "")
    assert done.stdout.startswith("not good\n  why   the token is ")


def test_what_a_stranger_wrote_cannot_move_the_terminal(secret_app, signalpost):
    token = jwt.encode({"sub": "a\x1b[2J", "exp": -1, "x\x1b[1m": "\x1b]0;a\x07"}, SECRET, "HS256")
    done = signalpost("token", "--read", token)
    assert (done.exit_code, "\x1b" in done.output) == (1, False)


def test_a_secret_is_not_shown(write, signalpost, folder):
    (folder / "secrets.yaml").write_text(f"jwt: {SECRET}\n")
    (folder / "secrets.yaml").chmod(0o600)
    write(HIDDEN)
    token = jwt.encode({"sub": "ann", "exp": 9_999_999_999, "leak": SECRET}, SECRET, "HS256")
    done = signalpost("token", "--read", token)
    assert (done.exit_code, signalpost("token", "--read", signed(signalpost, "--user", "ann")).exit_code) == (0, 0)
    assert SECRET not in done.output
    assert "!secret jwt" in done.output


@pytest.fixture
def published():
    """Publish keys at an address of this machine."""
    keys = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if keys else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": keys}).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/jwks.json", keys
    server.shutdown()
    server.server_close()
    thread.join()


def test_keys_at_an_address_are_fetched_to_read_a_token(write, signalpost, published):
    address, keys = published
    key = ec.generate_private_key(ec.SECP256R1())
    write(f"undeclared: refuse\nauth: {{tokens: {{keys: '{address}', algorithms: [ES256]}}}}")
    token = jwt.encode({"sub": "ann", "exp": 9_999_999_999}, key, "ES256", {"kid": "k1"})
    done = signalpost("token", "--read", token)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"signalpost: the keys cannot be fetched from {address}: it answers 404\n"
    keys.append({**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1"})
    done = signalpost("token", "--read", token)
    assert (done.exit_code, done.stderr) == (0, f'fetched from {address}: the key "k1"\n')
    assert rows(done.stdout)["good", "key"] == f'the key "k1", from {address}'


@pytest.mark.slow
@pytest.mark.parametrize("command", ["--version", "check"])
def test_without_tokens_no_command_loads_pyjwt(process, ended, folder, write, command):
    write("")
    (folder / "sitecustomize.py").write_text(
        "import atexit, sys\natexit.register(lambda: print('jwt' in sys.modules, file=sys.stderr))\n"
    )
    code, _, err = ended(process(command, PYTHONPATH=str(folder)))
    assert (code, err) == (0, "False\n")


def test_a_claim_that_names_another_user_is_refused(secret_app, signalpost):
    done = signalpost("token", "--user", "ann", "--claim", "sub=bob")
    assert done.exit_code == 2
    assert "leave out --claim sub=" in done.stderr
    assert jwt.decode(signed(signalpost, "--user", "ann", "--claim", "sub=ann"), SECRET, ["HS256"], audience="shop")

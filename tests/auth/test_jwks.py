"""Keys at an address: when they are fetched, what stays when that fails, and who waits for them."""

import asyncio
import json
import logging
import socket
import ssl

import pytest

from signalpost.auth.authority import TokenAuthority
from signalpost.auth.claims import TokenError
from signalpost.auth.fetch import Fetch, FetchError
from signalpost.auth.identity import Identity
from signalpost.auth.jwks import JwksFetcher
from signalpost.auth.keyring import Keyring
from signalpost.config.authmodel import TokensConfig
from signalpost.config.certificates import load_certificate
from signalpost.config.model import TlsConfig
from signalpost.errors import NotReadyError

NOW = 1_800_000_000.0


@pytest.fixture
def fetching(login, clock):
    """Make a fetcher of the login server's keys, by the test's clock."""
    made = []

    def make(*algorithms):
        keyring = Keyring()
        fetcher = JwksFetcher(
            login.address, algorithms or ("ES256",), keyring, clock=clock, call_later=clock.call_later
        )
        made.append(fetcher)
        return fetcher, keyring

    yield make
    for fetcher in made:
        fetcher.stop()


@pytest.fixture
def authority(login, clock):
    """Make what judges tokens by the login server's keys."""
    made = []

    def make(**rules):
        rules = {"algorithms": ("ES256", "ES384"), "address": login.address, **rules}
        made.append(TokenAuthority(TokensConfig(**rules), clock=clock, ticks=clock, call_later=clock.call_later))
        return made[-1]

    yield make
    for each in made:
        each.stop()


async def fetched(fetcher):
    """Wait for the fetch that is under way."""
    waiting = fetcher.refresh()
    assert waiting is not None
    await waiting


async def test_keys_are_fetched_at_the_start_and_each_ten_minutes(login, keys, fetching, clock):
    login.publish(keys.jwk("ES256", kid="a"))
    fetcher, keyring = fetching()
    assert (fetcher.ready, login.requests) == (False, [])
    fetcher.start()
    await fetched(fetcher)
    assert (fetcher.ready, [key.kid for key in keyring.keys]) == (True, ["a"])
    login.publish(keys.jwk("ES256", kid="b"))
    clock.advance(599)
    assert len(login.requests) == 1
    clock.advance(1)
    await fetched(fetcher)
    assert [key.kid for key in keyring.keys] == ["b"]
    assert login.requests == ["/jwks.json"] * 2


async def test_a_fetch_that_fails_leaves_the_old_keys_and_is_told_once(login, keys, fetching, clock, caplog):
    login.publish(keys.jwk("ES256", kid="a"))
    fetcher, keyring = fetching()
    fetcher.start()
    await fetched(fetcher)
    before = keyring.keys
    login.status = 503
    clock.advance(600)
    await fetched(fetcher)
    for _ in range(3):
        clock.advance(30)
        await fetched(fetcher)
    assert (keyring.keys, fetcher.ready, fetcher.failure) == (before, True, "it answers 503")
    login.body, login.status = b'{"keys": []}', 200
    clock.advance(30)
    await fetched(fetcher)
    login.publish(keys.jwk("ES256", kid="b"))
    clock.advance(30)
    await fetched(fetcher)
    assert [key.kid for key in keyring.keys] == ["b"]
    said = [record.getMessage().replace(login.address, "ADDRESS") for record in caplog.records]
    assert said == [
        "auth.tokens.keys: ADDRESS: it answers 503; the old ones stay",
        "auth.tokens.keys: ADDRESS: it has no key for ES256; the old ones stay",
        "auth.tokens.keys: ADDRESS: the keys have come again",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    clock.advance(599)
    assert len(login.requests) == 7


async def test_while_there_are_no_keys_it_is_tried_again_sooner(login, fetching, clock, keys):
    login.status = 500
    fetcher, _ = fetching()
    fetcher.start()
    await fetched(fetcher)
    for wait in (1, 2, 4, 8, 16, 30, 30):
        count = len(login.requests)
        clock.advance(wait - 0.1)
        assert len(login.requests) == count
        clock.advance(0.1)
        await fetched(fetcher)
        assert len(login.requests) == count + 1
    login.publish(keys.jwk("ES256"))
    clock.advance(30)
    await fetched(fetcher)
    assert fetcher.ready


async def test_a_fetch_that_hangs_is_given_up_after_ten_seconds(login, fetching, clock, keys):
    login.open.clear()
    fetcher, _ = fetching()
    fetcher.start()
    await asyncio.to_thread(login.arrived.acquire)
    waiting = fetcher.refresh()
    clock.advance(10)
    await waiting
    assert (fetcher.ready, fetcher.failure) == (False, "no answer within 10 s")
    login.publish(keys.jwk("ES256"))
    login.open.set()
    clock.advance(1)
    await fetched(fetcher)
    assert (fetcher.ready, fetcher.failure) == (True, "")


async def test_a_late_answer_of_a_fetch_that_was_given_up_counts_for_nothing(login, fetching, clock, keys):
    fetcher, keyring = fetching()
    fetcher.start()
    await fetched(fetcher)
    given_up = Fetch(login.address, ("ES256",), 10)
    fetcher._end(given_up, (keys.verification("ES256", "late"),))
    assert keyring.keys is None


@pytest.mark.parametrize(
    ("status", "headers", "body", "why"),
    [
        (404, {}, b"", "it answers 404"),
        (204, {}, b"", "it answers 204"),
        (200, {}, b"<html>", "what it sends is neither JSON"),
        (200, {}, b'{"keys": []}', "it has no key for ES256"),
        (
            200,
            {},
            b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "s"}]}',
            'it has no key for ES256 (key "s": it is a shared',
        ),
        (200, {}, b" " * (2**20 + 1), "it sends more than 1 MiB"),
        (200, {"X-Length": "100"}, b"{}", "the connection broke before all had come"),
        (200, {"Transfer-Encoding": "chunked"}, b"zz\r\n", ""),
        (
            302,
            {"Location": "https://evil.example/jwks.json"},
            b"",
            'it redirects to "https://evil.example/jwks.json", which is',
        ),
        (301, {"Location": "/other.json?secret=1"}, b"", '/other.json", which is not followed: write that address'),
        (302, {"Location": "file:///etc/passwd"}, b"", "it answers 302"),
    ],
)
def test_an_answer_that_is_no_set_of_keys_says_why(login, status, headers, body, why):
    login.status, login.headers, login.body = status, headers, body
    with pytest.raises(FetchError) as caught:
        Fetch(login.address, ("ES256",), 10).run()
    assert why in str(caught.value)
    assert "secret=1" not in str(caught.value)
    assert login.requests == ["/jwks.json"]


def test_the_largest_set_is_read(login, keys):
    body = json.dumps({"keys": [keys.jwk("ES256")]}).encode()
    login.body = body + b" " * (2**20 - len(body))
    assert len(Fetch(login.address, ("ES256",), 10).run()) == 1


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="connection refused"):
            Fetch(f"http://127.0.0.1:{free.getsockname()[1]}/", ("ES256",), 10).run()


def test_proxies_are_not_asked_for_this_machine(login, keys, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    login.publish(keys.jwk("ES256"))
    assert len(Fetch(login.address, ("ES256",), 10).run()) == 1


@pytest.fixture
def certificate(tmp_path):
    """A file with a certificate for 127.0.0.1, and a server's context of it."""
    made = load_certificate(TlsConfig(self_signed=True), ("127.0.0.1",))
    file = tmp_path / "both.pem"
    file.write_bytes(made.chain + made.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_of_a_known_authority_taken(
    secure_login, certificate, keys, monkeypatch
):
    file, context = certificate
    login = secure_login(context)
    login.publish(keys.jwk("ES256"))
    with pytest.raises(FetchError, match="its certificate is not trusted: "):
        Fetch(login.address, ("ES256",), 10).run()
    assert login.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert len(Fetch(login.address, ("ES256",), 10).run()) == 1


async def test_a_fetch_that_is_given_up_ends_its_thread(login):
    login.open.clear()
    fetch = Fetch(login.address, ("ES256",), 600)
    running = asyncio.create_task(asyncio.to_thread(fetch.run))
    await asyncio.to_thread(login.arrived.acquire)
    fetch.give_up()
    with pytest.raises(FetchError):
        await running


# Tokens with unknown keys


async def test_a_token_with_an_unknown_key_waits_for_one_fetch(login, keys, authority, sign, clock):
    login.publish(keys.jwk("ES256", kid="a"))
    judge = authority()
    judge.start()
    assert not judge.ready
    token, later = sign("ES256", header={"kid": "a"}), sign("ES384", header={"kid": "b"})
    first = judge.identify(token)
    assert (await first).user == "ann"
    assert judge.ready
    assert isinstance(judge.identify(token), Identity)
    with pytest.raises(TokenError, match='unknown key "b"'):
        judge.identify(later)  # the last fetch began less than 30 s ago
    assert len(login.requests) == 1
    login.publish(keys.jwk("ES256", kid="a"), keys.jwk("ES384", kid="b"))
    clock.now += 30
    assert (await judge.identify(later)).user == "ann"
    assert len(login.requests) == 2
    assert isinstance(judge.identify(later), Identity)


async def test_a_hundred_tokens_with_unknown_keys_cause_one_fetch(login, keys, authority, sign, clock):
    login.publish(keys.jwk("ES256", kid="a"))
    judge = authority()
    judge.start()
    await judge.identify(sign("ES256", header={"kid": "a"}))
    clock.now += 30
    login.open.clear()
    waiting = [
        asyncio.ensure_future(judge.identify(sign("ES256", header={"kid": f"unknown {number}"})))
        for number in range(100)
    ]
    await asyncio.to_thread(login.arrived.acquire)
    login.open.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, TokenError) for each in results)
    assert len(login.requests) == 2
    with pytest.raises(TokenError):
        judge.identify(sign("ES256", header={"kid": "one more"}))
    assert len(login.requests) == 2


async def test_one_that_stops_waiting_stops_nobody_else(login, keys, authority, sign):
    login.publish(keys.jwk("ES256", kid="a"))
    login.open.clear()
    judge = authority()
    judge.start()
    waiting = [asyncio.ensure_future(judge.identify(sign("ES256", header={"kid": "a"}))) for _ in range(3)]
    await asyncio.to_thread(login.arrived.acquire)
    waiting[0].cancel()
    login.open.set()
    assert [(await each).user for each in waiting[1:]] == ["ann", "ann"]


async def test_without_keys_a_client_is_asked_to_come_again(login, authority, sign):
    login.status = 500
    judge = authority()
    judge.start()
    token = sign("ES256", header={"kid": "a"})
    with pytest.raises(NotReadyError, match="have not come yet"):
        await judge.identify(token)
    with pytest.raises(NotReadyError):
        judge.identify(token)
    with pytest.raises(TokenError, match="is not a JWT"):
        judge.identify("abc")


async def test_a_stop_lets_those_go_that_wait(login, authority, sign):
    login.open.clear()
    judge = authority()
    judge.start()
    waiting = asyncio.ensure_future(judge.identify(sign("ES256")))
    await asyncio.to_thread(login.arrived.acquire)
    judge.stop()
    with pytest.raises(NotReadyError):
        await waiting


# Reloads


async def test_a_reload_keeps_fetched_keys_and_forgets_what_other_rules_have_judged(login, keys, authority, sign):
    login.publish(keys.jwk("ES256", kid="a"))
    judge = authority()
    judge.start()
    token = sign("ES256", header={"kid": "a"})
    await judge.identify(token)
    judge.reload(TokensConfig(("ES256", "ES384"), address=login.address))
    assert judge.identify(token).user == "ann"
    judge.reload(TokensConfig(("ES256", "ES384"), address=login.address, audiences=("shop",)))
    assert judge.ready
    with pytest.raises(TokenError, match="names no audience"):
        judge.identify(token)
    assert len(login.requests) == 1


async def test_a_reload_with_other_algorithms_fetches_again(login, keys, authority, sign):
    login.publish(keys.jwk("ES256", kid="a"), keys.jwk("EdDSA", kid="b"))
    judge = authority()
    judge.start()
    await judge.identify(sign("ES256", header={"kid": "a"}))
    judge.reload(TokensConfig(("EdDSA",), address=login.address))
    assert not judge.ready
    assert (await judge.identify(sign("EdDSA", header={"kid": "b"}))).user == "ann"
    with pytest.raises(TokenError, match='signed with "ES256" \\(taken: EdDSA\\)'):
        judge.identify(sign("ES256", header={"kid": "a"}))


def test_a_file_with_further_keys_keeps_what_is_known_of_the_others(keys, sign, clock, tmp_path):
    old, new = keys.verification("ES256", "old"), keys.verification("ES384", "new")
    rules = {"algorithms": ("ES256", "ES384"), "file": tmp_path / "keys.json"}
    judge = TokenAuthority(TokensConfig(keys=(old,), **rules), clock=clock)
    judge.start()
    token = sign("ES256", header={"kid": "old"})
    known = judge.identify(token)
    judge.reload(TokensConfig(keys=(old, new), **rules))
    assert judge.identify(token) is known
    assert judge.identify(sign("ES384", header={"kid": "new"})).user == "ann"
    judge.reload(TokensConfig(keys=(new,), **rules))
    with pytest.raises(TokenError, match='unknown key "old"'):
        judge.identify(token)


def test_another_secret_ends_what_the_first_has_signed(sign, clock):
    from signalpost.jose.keys import fitting, secret_key

    judge = TokenAuthority(TokensConfig(("HS256",), fitting([secret_key(b"a" * 32)], ("HS256",))), clock=clock)
    token = sign(key=b"a" * 32)
    assert judge.identify(token).user == "ann"
    judge.reload(TokensConfig(("HS256",), fitting([secret_key(b"b" * 32)], ("HS256",))))
    with pytest.raises(TokenError, match="signature"):
        judge.identify(token)

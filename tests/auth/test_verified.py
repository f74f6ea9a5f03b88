"""The memory of verified tokens: what is in it, what leaves it, and that it never makes a bad token good."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.auth.claims import TokenError
from signalpost.auth.identity import Identity
from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import Tokens
from signalpost.auth.verified import MOST_VERIFIED, Verified, VerifiedTokens
from signalpost.config.authmodel import TokensConfig
from signalpost.errors import NotReadyError

NOW = 1_800_000_000.0


@pytest.fixture
def counted(monkeypatch):
    """Count the signatures that are checked."""
    from jwt import PyJWS

    checked = []
    check = PyJWS.decode_complete
    monkeypatch.setattr(
        PyJWS, "decode_complete", lambda self, text, *more: checked.append(text) or check(self, text, *more)
    )
    return checked


def test_a_token_is_checked_once_and_then_known(judge, sign, counted):
    tokens, token = judge("ES256"), sign("ES256")
    first = tokens.verify(token)
    assert all(tokens.verify(token) is first for _ in range(5))
    assert (len(counted), tokens.remembered) == (1, 1)


def test_a_token_that_is_not_good_is_not_remembered(judge, sign, counted):
    tokens = judge("HS256")
    for _ in range(3):
        with pytest.raises(TokenError):
            tokens.verify(sign(exp=NOW - 100))
    assert (len(counted), tokens.remembered) == (3, 0)


def test_a_remembered_token_ends_when_it_ends(judge, sign, clock):
    tokens, token = judge("HS256"), sign()
    tokens.verify(token)
    clock.now = NOW + 69.9
    assert tokens.verify(token).user == "ann"
    clock.now = NOW + 70
    with pytest.raises(TokenError, match="expired 10 s ago"):
        tokens.verify(token)
    assert tokens.remembered == 0


def test_a_remembered_token_is_not_good_before_it_begins_even_if_the_clock_was_put_back(judge, sign, clock):
    tokens, token = judge("HS256"), sign(nbf=NOW)
    tokens.verify(token)
    clock.now = NOW - 11
    with pytest.raises(TokenError, match="not valid yet"):
        tokens.verify(token)
    clock.now = NOW
    assert tokens.verify(token).user == "ann"


def test_a_key_that_goes_takes_its_tokens_along_and_no_others(keys, sign, clock, counted):
    old, new = keys.verification("ES256", "old"), keys.verification("ES384", "new")
    keyring = Keyring([old])
    tokens = Tokens(TokensConfig(("ES256", "ES384"), (old,)), keyring, clock)
    first, second = sign("ES256", header={"kid": "old"}), sign("ES384", header={"kid": "new"})
    tokens.verify(first)
    keyring.replace([old, new])
    tokens.verify(first)
    tokens.verify(second)
    assert counted == [first, second]
    keyring.replace([new])
    assert tokens.verify(second).user == "ann"
    assert tokens.remembered == 1
    with pytest.raises(TokenError, match='unknown key "old"'):
        tokens.verify(first)
    assert counted == [first, second]


def test_another_key_under_the_same_id_takes_the_tokens_of_the_first(keys, sign, clock):
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    keyring = Keyring([keys.verification("ES256", "a")])
    tokens = Tokens(TokensConfig(("ES256",), keyring.keys), keyring, clock)
    token = sign("ES256", header={"kid": "a"})
    tokens.verify(token)
    import json

    from signalpost.jose.keyset import read_keys

    keyring.replace(read_keys(json.dumps(keys.jwk("ES256", key=private, kid="a")).encode()).keys)
    with pytest.raises(TokenError, match="signature"):
        tokens.verify(token)


def test_the_same_keys_in_another_order_change_nothing(keys, sign, clock, counted):
    both = [keys.verification("ES256", "a"), keys.verification("ES384", "b")]
    keyring = Keyring(both)
    tokens = Tokens(TokensConfig(("ES256", "ES384"), tuple(both)), keyring, clock)
    token = sign("ES256", header={"kid": "a"})
    tokens.verify(token)
    assert not keyring.replace([keys.verification("ES384", "b"), keys.verification("ES256", "a")])
    tokens.verify(token)
    assert len(counted) == 1


def test_the_least_recently_used_token_goes_first(judge, sign):
    tokens = judge("HS256", most=3)
    texts = [sign(jti=str(number)) for number in range(4)]
    for text in texts[:3]:
        tokens.verify(text)
    tokens.verify(texts[0])
    tokens.verify(texts[3])
    assert tokens.remembered == 3
    known = tokens._verified
    from hashlib import sha256

    assert [known.find(sha256(text.encode()).digest()) is not None for text in texts] == [True, False, True, True]


def test_ten_thousand_tokens_are_remembered_and_no_more():
    key = object()
    memory = VerifiedTokens()
    for number in range(MOST_VERIFIED + 500):
        memory.remember(number.to_bytes(32), Verified(Identity("ann"), key, 0.0, 1.0))
    assert len(memory) == MOST_VERIFIED == 10_000
    assert memory.find((499).to_bytes(32)) is None
    assert memory.find((500).to_bytes(32)) is not None


def test_the_memory_holds_no_token(judge, sign):
    tokens, token = judge("HS256"), sign(jti="unheard-of")
    tokens.verify(token)
    assert not any(
        token in each for each in gc.get_objects() if type(each) is dict and len(each) < 100 and _texts(each)
    )
    (digest,) = tokens._verified._tokens
    assert len(digest) == 32


def _texts(each):
    return all(type(value) is str for value in each.values())


def test_no_keys_means_not_ready_whatever_is_remembered(keys, sign, clock):
    keyring = Keyring()
    tokens = Tokens(TokensConfig(("ES256",), address="https://a.example/"), keyring, clock)
    with pytest.raises(NotReadyError):
        tokens.verify(sign("ES256"))
    keyring.replace([keys.verification("ES256")])
    assert tokens.verify(sign("ES256")).user == "ann"


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["verify", "advance", "back", "old", "new", "both"]), st.integers(0, 5)), max_size=40
    )
)
def test_with_a_memory_the_verdict_is_always_that_without_one(keys, sign, make_clock, moves):
    clock = make_clock(NOW)
    old, new = keys.verification("EdDSA", "old"), keys.verification("ES256", "new")
    keyring = Keyring([old, new])
    config = TokensConfig(("ES256", "EdDSA"), (old, new))
    tokens = Tokens(config, keyring, clock, most=2)
    texts = (
        _TEXTS
        or _TEXTS.extend(
            sign(algorithm, header={"kid": kid}, exp=NOW + 20 * number, nbf=NOW + 5 * number)
            for number in (1, 2, 3)
            for algorithm, kid in (("EdDSA", "old"), ("ES256", "new"))
        )
        or _TEXTS
    )
    for move, number in moves:
        if move == "verify":
            assert _verdict(tokens, texts[number]) == _verdict(Tokens(config, keyring, clock), texts[number])
        elif move in ("advance", "back"):
            clock.now += 9 * number if move == "advance" else -7 * number
        else:
            keyring.replace({"old": [old], "new": [new], "both": [old, new]}[move])
        assert tokens.remembered <= 2


_TEXTS = []


def _verdict(tokens, text):
    try:
        return tokens.verify(text)
    except TokenError as error:
        return str(error)

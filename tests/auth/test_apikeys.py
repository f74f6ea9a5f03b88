"""API keys: whose key it is."""

from hypothesis import given
from hypothesis import strategies as st

from signalpost.auth.apikeys import ApiKeys
from signalpost.config.authmodel import ApiKeyConfig, KeyPermission

SHOP = ApiKeyConfig("shop", "pZ3vN8qTgY5kR1xC7wBh2sLf9mJd4aEu", frozenset({KeyPermission.PUBLISH}))
DESK = ApiKeyConfig("desk", "pZ3vN8qTgY5kR1xC7wBh2sLf9mJd4aEv", frozenset(KeyPermission))


def test_a_key_is_its_program_s_to_the_letter():
    keys = ApiKeys([SHOP, DESK])
    assert (keys.find(SHOP.key), keys.find(DESK.key)) == (SHOP, DESK)
    for text in ("", SHOP.key[:-1], SHOP.key + " ", SHOP.key.upper(), "\ud800"):
        assert keys.find(text) is None


@given(st.text(max_size=40))
def test_no_other_text_is_a_key(text):
    assert ApiKeys([SHOP]).find(text) is None


def test_without_keys_there_are_none():
    assert not ApiKeys(())
    assert ApiKeys([SHOP])
    assert ApiKeys(()).find("") is None


def test_a_key_is_not_shown():
    assert SHOP.key not in repr(SHOP) + repr(ApiKeys([SHOP]))

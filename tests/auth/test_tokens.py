"""Which tokens are good, and what is said of those that are not."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.auth.claims import TokenError
from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import Tokens, UnknownKeyError
from signalpost.config.authmodel import TokensConfig
from signalpost.errors import NotReadyError
from signalpost.jose.algorithms import KINDS
from signalpost.jose.compact import take_apart
from signalpost.jose.keys import fitting, secret_key

NOW = 1_800_000_000.0


def why(tokens, text):
    with pytest.raises(TokenError) as caught:
        tokens.verify(text)
    return str(caught.value)


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_token_of_each_algorithm_names_its_user(judge, sign, algorithm):
    identity = judge(algorithm).verify(sign(algorithm, iat=NOW - 1, jti="t1", roles=["a"]))
    assert (identity.user, identity.expires, identity.token_id, identity.issued) == ("ann", NOW + 60, "t1", NOW - 1)
    assert identity.claims == {"sub": "ann", "exp": NOW + 60, "iat": NOW - 1, "jti": "t1", "roles": ["a"]}


def test_ed448_is_eddsa(judge, keys, raw_token, make_clock):
    from signalpost.jose.keyset import read_keys

    found = read_keys(json.dumps(keys.jwk("EdDSA", key=keys.ed448)).encode()).keys
    token = raw_token({"alg": "EdDSA"}, {"sub": "ann", "exp": NOW + 1}, keys.ed448)
    assert judge("EdDSA", only=found).verify(token).user == "ann"


@pytest.mark.parametrize("signed_with", KINDS)
def test_no_algorithm_but_those_of_the_file_is_taken(judge, sign, signed_with):
    others = tuple(name for name in KINDS if name != signed_with)
    said = why(judge(*others), sign(signed_with))
    assert said.startswith(f'the token is signed with "{signed_with}" (taken: ')


@pytest.mark.parametrize("word", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_an_unsigned_token_is_refused_however_it_is_spelt(judge, word, signature):
    header = base64.urlsafe_b64encode(json.dumps({"alg": word}).encode()).rstrip(b"=").decode()
    payload = base64.urlsafe_b64encode(b'{"sub":"ann","exp":1900000000}').rstrip(b"=").decode()
    assert why(judge(*KINDS), f"{header}.{payload}.{signature}").startswith("the token is not signed")


@pytest.mark.parametrize("algorithm", [None, 1, ["HS256"], "", "hs256", "HS256 ", "ES521", "RS1", "A128KW", "dir"])
def test_an_algorithm_that_is_not_to_the_letter_is_refused(judge, raw_token, keys, algorithm):
    token = raw_token({"alg": algorithm}, {"sub": "ann", "exp": NOW + 1}, keys.private["HS256"], "HS256")
    assert "alg" in why(judge("HS256"), token) or "signed with" in why(judge("HS256"), token)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": NOW - 10}, "the token expired 10 s ago"),
        ({"exp": NOW - 10.5}, "the token expired 10 s ago"),
        ({"exp": NOW - 600}, "the token expired 10 min ago"),
        ({"exp": NOW - 3 * 86_400}, "the token expired 3 days ago"),
        ({"exp": None}, "the token has no end (exp)"),
        ({"exp": str(NOW + 60)}, "the token's exp is no time: it must be a number of seconds, not the text \""),
        ({"exp": True}, "the token's exp is no time: it must be a number of seconds, not true"),
        ({"exp": [NOW]}, "the token's exp is no time: it must be a number of seconds, not a list"),
        ({"exp": 1e300}, "the token's exp is no time: it must be a number of seconds since 1970, up to year 9999"),
        ({"exp": -1}, "the token's exp is no time"),
        ({"nbf": NOW + 11}, "the token is not valid yet: it begins in 11 s"),
        ({"nbf": "now"}, "the token's nbf is no time"),
        ({"iat": NOW + 11}, "the token was issued 11 s from now: the clocks of signer and server differ"),
        ({"iat": {}}, "the token's iat is no time: it must be a number of seconds, not a mapping"),
        ({"sub": None}, 'the token has no claim "sub", which names the user'),
        ({"sub": 7}, 'the token\'s claim "sub", which names the user, must be a text, not the number 7'),
        ({"sub": ""}, 'the token\'s claim "sub", which names the user, is empty (allowed: 1 to 255)'),
        ({"sub": "x" * 256}, 'the token\'s claim "sub", which names the user, has 256 characters (allowed: 1 to 255)'),
        ({"sub": "an\nn"}, 'the token\'s claim "sub", which names the user, has a control character'),
        ({"sub": "an\u2028n"}, 'the token\'s claim "sub", which names the user, has a control character'),
        ({"sub": "ann\x85"}, 'the token\'s claim "sub", which names the user, has a control character'),
        ({"jti": 5}, "the token's id (jti) is not a text"),
        ({"jti": "x" * 256}, "the token's id (jti) is not a text"),
        ({"aud": "shop"}, 'the token is for "shop", not for this server (aud; this server has no name)'),
        ({"aud": 5}, "the token's audience (aud) is neither a text nor a list of texts"),
        ({"aud": ["a", 5]}, "the token's audience (aud) is neither a text nor a list of texts"),
    ],
)
def test_a_token_that_is_not_good_says_why(judge, sign, claims, said):
    assert why(judge("HS256"), sign(**claims)).startswith(said)


@pytest.mark.parametrize("user", ["x" * 255, "Ann Lee", "김", "🧑‍🚀", " "])
def test_a_user_may_have_any_visible_name_of_255_characters(judge, sign, user):
    assert judge("HS256").verify(sign(sub=user)).user == user


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"exp": NOW - 9.99}, True),
        ({"exp": NOW - 10}, False),
        ({"nbf": NOW + 10}, True),
        ({"nbf": NOW + 10.01}, False),
        ({"iat": NOW + 10}, True),
        ({"iat": NOW + 10.01}, False),
        ({"exp": 253_402_300_799}, True),
        ({"exp": 253_402_300_800}, False),
    ],
)
def test_times_count_to_the_edge_of_the_leeway(judge, sign, claims, good):
    tokens, token = judge("HS256"), sign(**claims)
    if good:
        assert tokens.verify(token).user == "ann"
    else:
        assert why(tokens, token)


def test_a_token_without_an_end_is_good_where_it_may_last(judge, sign):
    assert judge("HS256", lasting=True).verify(sign(exp=None)).expires is None
    assert "expired" in why(judge("HS256", lasting=True), sign(exp=NOW - 60))


@pytest.mark.parametrize("audience", ["b", ["b"], ["x", "b"], ["a", "b"]])
def test_one_of_the_audiences_is_enough(judge, sign, audience):
    assert judge("HS256", audiences=("a", "b")).verify(sign(aud=audience)).user == "ann"


@pytest.mark.parametrize(
    ("audience", "said"),
    [
        (None, 'the token names no audience (aud; wanted: "a")'),
        ([], 'the token names no audience (aud; wanted: "a")'),
        ("A", 'the token is for "A", not for this server (aud; wanted: "a")'),
        (["b", "c"], 'the token is for "b", "c", not for this server (aud; wanted: "a")'),
    ],
)
def test_a_token_for_somebody_else_is_refused(judge, sign, audience, said):
    assert why(judge("HS256", audiences=("a",)), sign(aud=audience)) == said


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        (None, 'the token names no issuer (iss; wanted: "https://a", "https://b")'),
        ("https://a/", 'the token is of the issuer "https://a/" (iss; wanted: "https://a", "https://b")'),
        (["https://a"], 'the token is of the issuer a list (iss; wanted: "https://a", "https://b")'),
    ],
)
def test_an_issuer_is_compared_to_the_letter(judge, sign, issuer, said):
    tokens = judge("HS256", issuers=("https://a", "https://b"))
    assert tokens.verify(sign(iss="https://b")).user == "ann"
    assert why(tokens, sign(iss=issuer)) == said


def test_another_claim_may_name_the_user(judge, sign):
    assert judge("HS256", user="https://a/mail").verify(sign(**{"https://a/mail": "a@b"})).user == "a@b"
    assert 'has no claim "mail"' in why(judge("HS256", user="mail"), sign())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"crit": ["exp"], "exp": 1}, "(crit in its header)"),
        ({"crit": []}, "(crit in its header)"),
        ({"crit": None}, "(crit in its header)"),
        ({"b64": False, "crit": ["b64"]}, "(crit in its header)"),
        ({"b64": False}, "the token's payload is not encoded"),
        ({"b64": 0}, "the token's payload is not encoded"),
        ({"enc": "A128GCM"}, "(enc in its header)"),
        ({"zip": "DEF"}, "(zip in its header)"),
        ({"cty": "JWT"}, "the token holds another token"),
        ({"cty": "application/jwt"}, "the token holds another token"),
        ({"typ": "dpop+jwt"}, 'the token is for another use (typ is "dpop+jwt")'),
        ({"typ": "application/Logout+JWT"}, "the token is for another use"),
        ({"kid": 1}, "the token does not name its key by a text (kid)"),
        ({"kid": None}, "the token does not name its key by a text (kid)"),
    ],
)
def test_a_header_that_wants_more_than_a_plain_token_is_refused(judge, sign, header, said):
    assert said in why(judge("HS256"), sign(header=header))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "JOSE", "anything"])
def test_a_type_that_is_not_that_of_another_use_is_taken(judge, sign, typ):
    assert judge("HS256").verify(sign(header={"typ": typ})).user == "ann"


def test_keys_and_addresses_in_a_token_are_ignored(judge, sign, keys):
    header = {
        "jku": "https://evil.example/jwks.json",
        "jwk": keys.jwk("ES256"),
        "x5u": "https://evil.example/x.pem",
        "x5c": ["AAAA"],
        "x5t": "AAAA",
    }
    assert judge("ES256").verify(sign("ES256", header=header)).user == "ann"
    other = judge("ES256K", "ES256", only=[keys.verification("ES384"), keys.verification("ES256K")])
    assert why(other, sign("ES256", header=header)) == (
        "the token is signed with ES256, which the secp256k1 key without an id is not for"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the token is empty"),
        ("abc", "the token is not a JWT: it has 1 part instead of three"),
        ("a.b", "the token is not a JWT: it has 2 parts instead of three"),
        ("a.b.c.d", "the token is not a JWT: it has 4 parts instead of three"),
        ("a.b.c.d.e", "the token is encrypted (it has five parts, a JWE); only signed ones are taken"),
        ("..", "the token is not a JWT: a part is empty"),
        ("e30=.e30=.AA==", "the token is not a JWT: its parts are padded with =, which RFC 7515 leaves out"),
        ("e30.e30.ä", "the token is not a JWT: a part is empty, or has characters that base64url does not have"),
        ("e30.e30.\ud800", "the token is not a JWT: a part is empty, or has characters"),
        ("e30 .e30.AA", "the token is not a JWT: a part is empty, or has characters"),
        ("e30.e30.AA\n", "the token is not a JWT: a part is empty, or has characters"),
        ("e30.e30.AA", "the token does not say how it is signed (alg; taken: HS256)"),
        ("A.e30.AA", "the token is not a JWT: a part is cut off, or has bits behind its end"),
        ("e30.e31.AA", "the token is not a JWT: a part is cut off, or has bits behind its end"),
        ("e30.e30.AB", "the token is not a JWT: a part is cut off, or has bits behind its end"),
        ("W10.e30.AA", "the token is not a JWT: its header is not a JSON object"),
        ("AAAA.e30.AA", "the token is not a JWT: its header is not JSON"),
        ("a" * 8193, "the token is too long: 8,193 characters (allowed: 8,192)"),
    ],
)
def test_a_text_that_is_no_token_says_so(judge, text, said):
    assert why(judge("HS256"), text).startswith(said)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "its payload is not JSON"),
        (b"[]", "its payload is not a JSON object"),
        (b"5", "its payload is not a JSON object"),
        (b'{"sub": "ann", "exp": NaN}', "its payload is not JSON"),
        (b'{"sub": "ann", "exp": Infinity}', "its payload is not JSON"),
        (b'{"sub": "ann", "exp": 1e999}', "its payload is not JSON"),
        (b'{"sub": "\\ud800", "exp": 1900000000}', "its payload is not JSON"),
        (b'{"sub": "\xff", "exp": 1900000000}', "its payload is not JSON"),
        (b"\xef\xbb\xbf{}", "its payload is not JSON"),
        ('{"sub": "ann"}'.encode("utf-16"), "its payload is not JSON"),
        (b"[" * 2000 + b"]" * 2000, "its payload is not JSON"),
        (b'{"sub": "ann", "exp": 1900000000, "sub": "eve"}', 'the same name twice in its payload: "sub"'),
        (b'{"sub": "ann", "exp": 1900000000, "a": {"b": 1, "\\u0062": 2}}', 'the same name twice in its payload: "b"'),
    ],
)
def test_a_payload_that_can_be_read_in_two_ways_or_in_none_is_refused(judge, sign, payload, said):
    assert said in why(judge("HS256"), sign(payload=payload))


def test_a_header_with_the_same_name_twice_is_refused(judge, raw_token, keys):
    header = b'{"alg":"HS256","alg":"HS256"}'
    token = raw_token(header, {"sub": "ann", "exp": NOW + 1}, keys.private["HS256"], "HS256")
    assert 'the same name twice in its header: "alg"' in why(judge("HS256"), token)


def test_every_truncation_of_a_token_is_refused(judge, sign):
    tokens, token = judge("HS256"), sign()
    for length in range(len(token)):
        assert why(tokens, token[:length])
    for begin in range(1, len(token)):
        assert why(tokens, token[begin:])


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
def test_every_flip_of_a_bit_of_a_token_is_refused(judge, sign, algorithm):
    tokens = judge(algorithm)
    token = sign(algorithm)
    for index, char in enumerate(token):
        for bit in range(8):
            flipped = token[:index] + chr(ord(char) ^ 1 << bit) + token[index + 1 :]
            assert why(tokens, flipped), (index, bit)
    assert tokens.verify(token).user == "ann"


@given(text=st.text(alphabet=st.sampled_from("eyJhbGciOi.-_=A1 \n\ud800é"), max_size=60))
def test_no_text_gets_past_or_breaks_the_judge(keys, text):
    config = TokensConfig(tuple(KINDS), tuple(dict.fromkeys(map(keys.verification, KINDS))))
    with pytest.raises(TokenError):
        Tokens(config, Keyring(config.keys), lambda: NOW).verify(text)


# Keys


def named(keys, *pairs):
    return [keys.verification(algorithm, kid) for algorithm, kid in pairs]


def test_a_token_names_its_key_among_several(judge, sign, keys):
    tokens = judge("ES256", "ES384", only=named(keys, ("ES256", "a"), ("ES384", "b")))
    assert tokens.verify(sign("ES384", header={"kid": "b"})).user == "ann"
    assert why(tokens, sign("ES384")) == "the token does not name its key (kid), and there are several"
    assert (
        why(tokens, sign("ES384", header={"kid": "a"}))
        == 'the token is signed with ES384, which the key "a" is not for'
    )
    with pytest.raises(UnknownKeyError, match='signed with an unknown key "c" \\(kid\\)'):
        tokens.verify(sign("ES384", header={"kid": "c"}))


def test_a_single_key_is_tried_where_a_token_names_none_and_not_where_it_names_another(judge, sign, keys):
    tokens = judge("ES256", only=named(keys, ("ES256", "a")))
    assert tokens.verify(sign("ES256")).user == "ann"
    with pytest.raises(UnknownKeyError):
        tokens.verify(sign("ES256", header={"kid": "b"}))


def test_a_key_without_an_id_may_have_signed_any_token(judge, sign, keys):
    tokens = judge("ES256", "ES384", only=named(keys, ("ES256", None), ("ES384", None)))
    for header in ({}, {"kid": "whatever"}):
        assert tokens.verify(sign("ES384", header=header)).user == "ann"


def test_a_key_is_used_as_it_says_itself(judge, sign, keys):
    from signalpost.jose.keyset import read_keys

    jwk = keys.jwk("RS256", alg="PS256", use="sig", key_ops=["verify"])
    tokens = judge("RS256", "PS256", only=read_keys(json.dumps(jwk).encode()).keys)
    assert tokens.verify(sign("PS256")).user == "ann"
    assert why(tokens, sign("RS256")) == "the token is signed with RS256, which the RSA key without an id is not for"


def test_another_key_s_signature_is_refused(judge, sign, keys):
    from cryptography.hazmat.primitives.asymmetric import ec

    token = sign("ES256", key=ec.generate_private_key(ec.SECP256R1()))
    assert why(judge("ES256"), token) == "the token's signature is not that of the P-256 key without an id"
    assert why(judge("HS256"), sign(key=b"x" * 64)) == "the token's signature is not that of the shared secret"


def test_no_token_is_judged_before_there_are_keys(sign, clock):
    tokens = Tokens(TokensConfig(("ES256",), address="https://a.example/"), Keyring(), clock)
    with pytest.raises(NotReadyError):
        tokens.verify(sign("ES256"))
    assert why(tokens, "abc")
    assert why(tokens, sign("HS256"))


def test_claims_are_shared_by_all_that_show_the_token_so_nobody_changes_them(judge, sign):
    identity = judge("HS256").verify(sign(rooms=["blue"], more={"a": [1]}))
    for change in (
        lambda: identity.claims.update(admin=True),
        lambda: identity.claims["rooms"].append("red"),
        lambda: identity.claims["more"]["a"].append(2),
    ):
        with pytest.raises(TypeError):
            change()


# Algorithm confusion (RFC 8725 section 2.1): a token signed by HMAC, with a public key as the secret.


def public_texts(keys, algorithm):
    from cryptography.hazmat.primitives import serialization

    public = keys.private[algorithm].public_key()
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        data = public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        yield from (data, data.strip(), data + b"\n")
    jwk = keys.jwk(algorithm)
    yield from (json.dumps(jwk).encode(), json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode())
    yield from (base64.urlsafe_b64decode(value + "==") for name, value in jwk.items() if name in ("n", "x", "y"))


@pytest.mark.parametrize("algorithm", [name for name in KINDS if not name.startswith("HS")])
def test_a_public_key_is_no_secret(judge, keys, algorithm):
    import hashlib
    import hmac

    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    for secret in public_texts(keys, algorithm):
        for shared, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
            parts = ({"alg": shared}, {"sub": "eve", "exp": NOW + 60})
            text = ".".join(b64(json.dumps(part).encode()) for part in parts)
            token = f"{text}.{b64(hmac.digest(secret, text.encode(), digest))}"
            assert why(judge(algorithm), token)
            # Even where both are taken, each key is used for what it is.
            both = judge(algorithm, shared)
            assert "signature is not that of the shared secret" in why(both, token)
            alone = judge(algorithm, shared, only=[keys.verification(algorithm)])
            assert "is not for" in why(alone, token)


def test_a_secret_checks_only_what_secrets_sign(keys):
    assert fitting([secret_key(b"x" * 64)], ("ES256", "HS256"))[0].algorithms == {"HS256"}


@given(st.binary(max_size=40))
def test_bytes_have_one_spelling_in_a_token(data):
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    taken = []
    for last in alphabet if text else ("",):
        spelt = text[:-1] + last
        try:
            found = take_apart(f"e30.{spelt}.").payload
        except ValueError:
            continue
        if found == data:
            taken.append(spelt)
    assert taken == [text]

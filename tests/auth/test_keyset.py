"""Keys as files and addresses hold them: what is read, what is left out, and why."""

import json
import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from signalpost.config.certificates import load_certificate
from signalpost.config.model import TlsConfig
from signalpost.jose.algorithms import KINDS
from signalpost.jose.keys import fitting
from signalpost.jose.keyset import KeySet, read_keys

PUBLIC = [name for name in KINDS if not name.startswith("HS")]


def public_pem(key):
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key, form=serialization.PrivateFormat.PKCS8, encryption=None):
    return key.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption())


def jwks(*found):
    return json.dumps({"keys": found}).encode()


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_key_is_the_same_as_jwk_as_pem_and_by_its_private_half(keys, algorithm):
    private = keys.private[algorithm]
    forms = [
        jwks(keys.jwk(algorithm)),
        json.dumps(keys.jwk(algorithm)).encode(),
        public_pem(private.public_key()),
        private_pem(private),
    ]
    (first, *others) = [read_keys(form).keys for form in forms]
    assert [len(first), *(each == first for each in others)] == [1, True, True, True]
    assert algorithm in first[0].algorithms
    assert read_keys(forms[0]).private == ()
    assert len(read_keys(forms[3]).private) == 1


@pytest.mark.parametrize("form", [serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_old_and_new_forms_of_private_keys_are_read(keys, form, algorithm):
    data = private_pem(keys.private[algorithm], form)
    assert read_keys(b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + data) == (
        read_keys(data)
    )
    assert algorithm in read_keys(data).keys[0].algorithms


def test_a_certificate_holds_a_key_and_stands_beside_its_private_one_once():
    made = load_certificate(TlsConfig(self_signed=True), ("a",))
    found = read_keys(made.chain + made.key)
    assert len(found.keys) == len(found.private) == 1
    assert found.keys == read_keys(made.chain).keys


def test_several_pem_keys_are_read_in_their_order(keys):
    data = b"a comment\n".join(public_pem(keys.private[name].public_key()) for name in ("ES256", "EdDSA"))
    assert [str(key.kind) for key in read_keys(data).keys] == ["P-256", "Ed25519"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"use": "enc"}, "it is not for signatures (use)"),
        ({"key_ops": ["encrypt"]}, "it is not for signatures (key_ops)"),
        ({"key_ops": "verify"}, "it is not for signatures (key_ops)"),
        ({"alg": "ES384"}, "it is for ES384 (alg), which takes no key of the kind P-256"),
        ({"alg": "ECDH-ES"}, "it is for another algorithm (alg; known: HS256, "),
        ({"alg": None, "kty": "AKP"}, "its kind (kty) is unknown (known: RSA, EC, OKP)"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "it is a shared secret: write keys: {secret: !secret NAME}"),
        ({"kty": ["EC"]}, "its kind (kty) is unknown"),
        ({"kid": 7}, "its kid is not a text of 1 to 255 characters"),
        ({"kid": ""}, "its kid is not a text"),
        ({"x": "AAAA"}, "it is damaged, or of an unknown kind"),
        ({"x": 5}, "it is damaged, or of an unknown kind"),
        ({"y": None}, "it is damaged, or of an unknown kind"),
        ({"crv": "P-192"}, "it is damaged, or of an unknown kind"),
        ({"d": "AAAA"}, "it is damaged, or of an unknown kind"),
    ],
)
def test_a_jwk_that_cannot_be_used_is_left_out_and_the_others_stay(keys, change, why):
    found = read_keys(jwks({**keys.jwk("ES256", kid="a"), **change}, keys.jwk("EdDSA", kid="b")))
    assert [key.kid for key in found.keys] == ["b"]
    (said,) = found.unusable
    assert why in said
    assert said.startswith(('key "a": ', "key 1: ", 'key "": '))


def test_a_point_that_is_not_on_the_curve_is_no_key(keys):
    jwk = keys.jwk("ES256")
    assert read_keys(jwks({**jwk, "y": jwk["x"]})).keys == ()


def test_an_ed25519_key_for_key_agreement_is_no_key():
    key = x25519.X25519PrivateKey.generate()
    assert read_keys(jwks({"kty": "OKP", "crv": "X25519", "x": "AAAA"})).keys == ()
    assert read_keys(public_pem(key.public_key())) == KeySet((), (), ("a key of a kind that no algorithm takes",))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: rsa.generate_private_key(65537, 1024),
            "an RSA key of 1024 bits, which can be broken (allowed: from 2048)",
        ),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "a key on the curve secp224r1, which no algorithm takes"),
        (lambda: dsa.generate_private_key(1024), "a key of a kind that no algorithm takes"),
    ],
)
def test_a_weak_or_foreign_key_is_left_out(make, why):
    assert read_keys(public_pem(make().public_key())).unusable == (why,)


def test_a_small_exponent_of_rsa_is_no_key(keys):
    jwk = keys.jwk("RS256")
    for exponent in ("AQ", "Ag", "AA"):
        assert read_keys(jwks({**jwk, "e": exponent})).keys == ()


def test_a_private_key_with_a_passphrase_says_what_to_do():
    key = ed25519.Ed25519PrivateKey.generate()
    data = private_pem(key, encryption=serialization.BestAvailableEncryption(b"x"))
    assert read_keys(data).unusable == (
        "a private key with a passphrase (its public half is enough: openssl pkey -pubout)",
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is neither JSON"),
        (b"hello", "is neither JSON (a JWK Set, or a single key) nor PEM"),
        (b"[]", "is neither JSON"),
        (b'{"kty": "EC", "kty": "RSA"}', "is neither JSON"),
        (b'{"issuer": "https://a"}', "is JSON, but not a JWK Set"),
        (b'{"keys": {}}', "is JSON, but not a JWK Set"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA", "holds a damaged PEM block"),
        (json.dumps({"keys": [{}] * 101}).encode(), "holds 101 keys (allowed: 100)"),
    ],
)
def test_what_is_no_set_of_keys_says_so(data, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        read_keys(data)


def test_more_keys_without_ids_than_a_token_may_be_tried_with_are_refused():
    made = [ed25519.Ed25519PrivateKey.generate().public_key() for _ in range(9)]
    assert len(read_keys(b"".join(map(public_pem, made[:8]))).keys) == 8
    with pytest.raises(ValueError, match="holds 9 keys without an id"):
        read_keys(b"".join(map(public_pem, made)))


def test_an_empty_set_is_read_and_has_no_keys():
    assert read_keys(b'{"keys": []}') == KeySet((), ())


def test_a_key_is_not_shown(keys):
    for algorithm in KINDS:
        key = keys.verification(algorithm, "a" if algorithm[0] != "H" else None)
        assert "mCVK" not in repr(key)
        assert key.digest not in repr(key)
        assert "object at" not in repr(key)


def test_only_keys_for_the_algorithms_stay_and_for_those_alone(keys):
    found = fitting([keys.verification("RS256"), keys.verification("ES256")], ("PS256", "ES384"))
    assert [key.algorithms for key in found] == [{"PS256"}]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["EC", "RSA", "OKP", "P-256", "AQAB"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["keys", "kty", "crv", "x", "y", "n", "e", "d", "kid", "alg", "use"]), inner, max_size=6
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_json_breaks_the_reader(value):
    try:
        found = read_keys(json.dumps(value).encode())
    except ValueError:
        return
    assert found.keys == ()


@given(
    st.binary(max_size=80), st.sampled_from(["PUBLIC KEY", "CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "X", "CRL"])
)
def test_no_pem_breaks_the_reader(data, label):
    import base64

    text = f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(data) + f"-----END {label}-----\n".encode()
    assert read_keys(text).keys == ()

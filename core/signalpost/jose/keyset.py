"""Keys as files and addresses hold them: JSON Web Keys (RFC 7517), and PEM (RFC 7468)."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from signalpost.jose.algorithms import KINDS, MOST_RSA_BITS, RSA_BITS, KeyKind, algorithms_of
from signalpost.jose.compact import read_object
from signalpost.jose.keys import SigningKey, VerificationKey
from signalpost.words import listing, quoted

MOST_KEYS = 100
"""Keys that one set may hold; real ones hold two or three."""

MOST_NAMELESS = 8
"""Keys without an id that one set may hold: a token is tried with each of them."""

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CURVES = {
    "secp256r1": KeyKind.P256,
    "secp384r1": KeyKind.P384,
    "secp521r1": KeyKind.P521,
    "secp256k1": KeyKind.SECP256K1,
}
_FROM_JWK: Mapping[str, Callable[[Any], Any]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
_PRIVATE = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
_LONGEST_ID = 255


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of a file or an address.

    Attributes:
        keys: that tokens can be checked with.
        private: those of them of which the private half is there, too.
        unusable: why each of the others is left out.
    """

    keys: tuple[VerificationKey, ...]
    private: tuple[SigningKey, ...] = ()
    unusable: tuple[str, ...] = ()


def read_keys(data: bytes) -> KeySet:
    """Read a set of JSON Web Keys, a single one, or keys and certificates in PEM form.

    Raises:
        ValueError: it is none of these, or holds too much. The text completes "the file …".
    """
    found = list(_read_pem(data) if b"-----BEGIN " in data else _read_jwks(data))
    if len(found) > MOST_KEYS:
        raise ValueError(f"holds {len(found):,} keys (allowed: {MOST_KEYS})")
    usable = [each for each in found if not isinstance(each, str)]
    private = {each.public: each for each in usable if isinstance(each, SigningKey)}
    keys = tuple(dict.fromkeys(each.public if isinstance(each, SigningKey) else each for each in usable))
    nameless = sum(key.kid is None for key in keys)
    if nameless > MOST_NAMELESS:
        raise ValueError(f"holds {nameless} keys without an id, which a token cannot choose (allowed: {MOST_NAMELESS})")
    unusable = tuple(each for each in found if isinstance(each, str))
    return KeySet(keys, tuple(private.values()), unusable)


_Found = VerificationKey | SigningKey | str


def _read_pem(data: bytes) -> Iterator[_Found]:
    blocks = [(match[1].decode(), match[0]) for match in _PEM.finditer(data)]
    if not blocks:
        raise ValueError("holds a damaged PEM block: its -----BEGIN … and -----END … do not match")
    for label, block in blocks:
        if label == "EC PARAMETERS":  # OpenSSL writes them before a private key, which has them, too
            continue
        try:
            yield _as_key(_load_pem(label, block), None, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            known = isinstance(error, _UnusableError)
            yield str(error) if known else f"a {label} that is damaged, or of an unknown kind"


class _UnusableError(ValueError):
    """A key is no key for tokens; the text names it and says why."""


def _load_pem(label: str, block: bytes) -> Any:
    if label.endswith("CERTIFICATE"):
        return x509.load_pem_x509_certificate(block).public_key()
    if label.endswith("PUBLIC KEY"):
        return serialization.load_pem_public_key(block)
    if label == "ENCRYPTED PRIVATE KEY" or b"ENCRYPTED" in block:
        raise _UnusableError("a private key with a passphrase (its public half is enough: openssl pkey -pubout)")
    if label.endswith("PRIVATE KEY") and not label.startswith("OPENSSH"):
        return serialization.load_pem_private_key(block, None)
    raise _UnusableError(f"a block {quoted(label)}, which is no key for tokens")


def _read_jwks(data: bytes) -> Iterator[_Found]:
    try:
        whole = read_object(data, "text")
    except ValueError:
        raise ValueError("is neither JSON (a JWK Set, or a single key) nor PEM (-----BEGIN PUBLIC KEY-----)") from None
    keys = whole.get("keys") if "kty" not in whole else [whole]
    if not isinstance(keys, list):
        text = 'is JSON, but not a JWK Set ({"keys": […]}) and not a single key ({"kty": …})'
        raise ValueError(text)  # noqa: TRY004 - of a file
    for number, jwk in enumerate(keys[: MOST_KEYS + 1], start=1):
        name = f"key {number}"
        if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str):
            name = f"key {quoted(jwk['kid'])}"
        try:
            yield _from_jwk(jwk)
        except _UnusableError as error:
            yield f"{name}: {error}"
        except (InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            yield f"{name}: it is damaged, or of an unknown kind"


def _from_jwk(jwk: Any) -> VerificationKey | SigningKey:
    if not isinstance(jwk, dict):
        raise _UnusableError("it is not a JSON object")
    kid, alg, ops = jwk.get("kid"), jwk.get("alg"), jwk.get("key_ops")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= _LONGEST_ID):
        raise _UnusableError(f"its kid is not a text of 1 to {_LONGEST_ID} characters")
    if jwk.get("use", "sig") != "sig":
        raise _UnusableError("it is not for signatures (use)")
    if ops is not None and not (isinstance(ops, list) and ("verify" in ops or "sign" in ops)):
        raise _UnusableError("it is not for signatures (key_ops)")
    kty = jwk.get("kty")
    if kty == "oct":
        raise _UnusableError("it is a shared secret: write keys: {secret: !secret NAME} in routes.yaml instead")
    if not isinstance(kty, str) or kty not in _FROM_JWK:
        raise _UnusableError(f"its kind (kty) is unknown (known: {listing(_FROM_JWK)})")
    if alg is not None and (not isinstance(alg, str) or alg not in KINDS):
        raise _UnusableError(f"it is for another algorithm (alg; known: {', '.join(KINDS)})")
    return _as_key(_FROM_JWK[kty](jwk), kid, alg)


def _as_key(key: Any, kid: str | None, alg: str | None) -> VerificationKey | SigningKey:
    private = key if isinstance(key, _PRIVATE) else None
    public = key if private is None else private.public_key()
    kind = _kind_of(public)
    algorithms = algorithms_of(kind)
    if alg is not None:
        if alg not in algorithms:
            raise _UnusableError(f"it is for {alg} (alg), which takes no key of the kind {kind}")
        algorithms = frozenset({alg})
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    found = VerificationKey(kind, algorithms, hashlib.sha256(der).hexdigest(), kid, public)
    return found if private is None else SigningKey(found, private)


def _kind_of(key: Any) -> KeyKind:
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size > MOST_RSA_BITS:
            raise _UnusableError(f"an RSA key of {key.key_size} bits, which is slow (allowed: up to {MOST_RSA_BITS})")
        if key.key_size < RSA_BITS:
            raise _UnusableError(f"an RSA key of {key.key_size} bits, which can be broken (allowed: from {RSA_BITS})")
        return KeyKind.RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        kind = _CURVES.get(key.curve.name)
        if kind is None:
            raise _UnusableError(f"a key on the curve {key.curve.name}, which no algorithm takes")
        return kind
    if isinstance(key, ed25519.Ed25519PublicKey):
        return KeyKind.ED25519
    if isinstance(key, ed448.Ed448PublicKey):
        return KeyKind.ED448
    raise _UnusableError("a key of a kind that no algorithm takes")

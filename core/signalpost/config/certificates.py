"""Certificates of endpoints: read, checked, or generated.

A certificate is pem (certificates and key in one file or in two, the key plain or with a passphrase), pfx/p12 with a
password, or generated at start (``self_signed: true``). Only files are read here; no sockets, no loop.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signalpost.config.model import TlsConfig

SELF_SIGNED_DAYS = 30
_CLOCK_SKEW = timedelta(hours=1)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = frozenset({"*", "0.0.0.0", "::", ""})  # noqa: S104 - names that no certificate can carry
_RSA_BITS = 2048

_PEM = b"-----BEGIN "
_PEM_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_PEM_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@dataclass(frozen=True, slots=True)
class CertificateChain:
    """The certificates and the key of a TLS server, as pem.

    Attributes:
        chain: the server's certificate, then those up to its authority.
        key: the private key of the first one, not encrypted: never write it to disk.
    """

    chain: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Material:
    """A certificate with its key, as read. The server's certificate is the first."""

    file: Path
    certificates: Sequence[x509.Certificate]
    key: PrivateKey


def check_certificate(tls: TlsConfig, *, now: datetime | None = None) -> str | None:
    """Return what is wrong with the certificate, key or password of an endpoint; None if they are valid.

    Args:
        tls: names a certificate, unless it is self-signed. That the files exist is checked by the caller.
        now: when to check validity, aware; None is the current time.
    """
    if tls.self_signed:
        return None
    try:
        _check_validity(_read(tls), now or datetime.now(UTC))
    except ValueError as problem:
        return str(problem)
    return None


def load_certificate(tls: TlsConfig, hostnames: Iterable[str], *, now: datetime | None = None) -> CertificateChain:
    """Read the certificate of an endpoint, or generate one.

    Args:
        tls: its files, or the setting to generate one.
        hostnames: names and addresses for a self-signed certificate, besides those of the loopback.
        now: when a self-signed certificate begins (an hour before that, for clocks that differ), aware; None is the
            current time.

    Raises:
        ValueError: it cannot be used; the text is that of `check_certificate`. Its validity period is not checked.
    """
    if tls.self_signed:
        key = ec.generate_private_key(ec.SECP256R1())
        certificates: Sequence[x509.Certificate] = [_self_signed(key, hostnames, now or datetime.now(UTC))]
        return _as_pem(certificates, key)
    material = _read(tls)
    return _as_pem(material.certificates, material.key)


def _as_pem(certificates: Sequence[x509.Certificate], key: PrivateKey) -> CertificateChain:
    return CertificateChain(
        chain=b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _read(tls: TlsConfig) -> _Material:
    """Read certificate and key and check that they belong together.

    Raises:
        ValueError: says what is wrong with which file.
    """
    if tls.certificate is None:
        raise ValueError("no certificate is named; name one, or say self_signed: true")
    password = tls.password.encode() if tls.password else None
    data = _bytes_of(tls.certificate)
    read = _read_pem if _PEM in data else _read_pfx
    material = read(tls.certificate, data, tls.key, password)
    _check_key(material)
    return material


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None


def _read_pem(file: Path, data: bytes, key_file: Path | None, password: bytes | None) -> _Material:
    if not _PEM_CERTIFICATE.search(data):
        raise ValueError(f"{file} holds no certificate")
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise ValueError(f"{file} holds a damaged certificate") from None
    block = _PEM_KEY.search(_bytes_of(key_file) if key_file else data)
    if block is None:
        advice = "" if key_file else "; name the file that has it as key"
        raise ValueError(f"{key_file or file} holds no private key{advice}")
    key = _read_key(key_file or file, block[0], password)
    return _Material(file, certificates, _usable(key, key_file or file))


def _read_key(file: Path, block: bytes, password: bytes | None) -> object:
    """Read a pem block with a private key. A passphrase that is not needed is ignored, as in OpenSSL."""
    encrypted = b"ENCRYPTED" in block
    if encrypted and password is None:
        raise ValueError(f"the key in {file} needs a passphrase; give it as password")
    try:
        return serialization.load_pem_private_key(block, password if encrypted else None)
    except UnsupportedAlgorithm:
        raise ValueError(f"the key in {file} is of a kind that is not supported") from None
    except (ValueError, TypeError):
        if encrypted:
            raise ValueError(f"the password does not open the key in {file}") from None
        raise ValueError(f"the key in {file} is damaged") from None


def _read_pfx(file: Path, data: bytes, key_file: Path | None, password: bytes | None) -> _Material:
    if not _looks_like_pfx(data):
        if _is_der_certificate(data):
            raise ValueError(f"{file} is a certificate in DER form; convert it to pem (openssl x509 -inform der)")
        raise ValueError(f"{file} is neither a pem nor a pfx certificate")
    if key_file is not None:
        raise ValueError(f"{file} is a pfx file, which holds its own key; leave out key")
    key, certificate, others = _open_pfx(file, data, password)
    if key is None:
        raise ValueError(f"{file} holds no private key; export it again together with its key")
    if certificate is None:
        raise ValueError(f"{file} holds no certificate that belongs to its key")
    return _Material(file, [certificate, *others], _usable(key, file))


def _open_pfx(
    file: Path, data: bytes, password: bytes | None
) -> tuple[object, x509.Certificate | None, list[x509.Certificate]]:
    try:
        return pkcs12.load_key_and_certificates(data, password)
    except UnsupportedAlgorithm:
        raise ValueError(f"{file} is encrypted in a way that is not supported; export it again") from None
    except (ValueError, TypeError):
        if password is None:
            raise ValueError(f"{file} needs a password, or is damaged") from None
        raise ValueError(f"the password does not open {file}, or the file is damaged") from None


def _looks_like_pfx(data: bytes) -> bool:
    """Return whether data begins like a PFX: a DER sequence whose first part is the integer 3 (RFC 7292 section 4)."""
    return data[:1] == b"\x30" and b"\x02\x01\x03" in data[2:9]


def _is_der_certificate(data: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(data)
    except ValueError:
        return False
    return True


def _usable(key: object, file: Path) -> PrivateKey:
    """Check that TLS can use a key of this kind and size."""
    if not isinstance(key, PrivateKey):
        # A wrong kind of key is not a wrong argument type: the caller expects ValueError for any content of a file.
        raise ValueError(f"the key in {file} is of a kind that TLS cannot use; use an RSA, EC or Ed25519 key")  # noqa: TRY004
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_BITS:
        raise ValueError(f"the key in {file} has {key.key_size} bits; RSA needs at least {_RSA_BITS}")
    return key


def _check_key(material: _Material) -> None:
    """Check that the key belongs to the first certificate."""
    ours = _public_bytes(material.key.public_key())
    positions = [
        number
        for number, certificate in enumerate(material.certificates, start=1)
        if _public_bytes(certificate.public_key()) == ours
    ]
    if not positions:
        raise ValueError(f"the key does not belong to the certificate in {material.file}")
    if positions[0] != 1:
        raise ValueError(
            f"the key belongs to certificate {positions[0]} in {material.file}; put the server's own certificate first"
        )


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _check_validity(material: _Material, now: datetime) -> None:
    """Check that no certificate of the chain has expired or is not valid yet."""
    for number, certificate in enumerate(material.certificates):
        which = "the certificate" if number == 0 else f"certificate {number + 1} of the chain"
        if now > certificate.not_valid_after_utc:
            raise ValueError(f"{which} in {material.file} expired on {_day(certificate.not_valid_after_utc)}")
        if now < certificate.not_valid_before_utc:
            raise ValueError(f"{which} in {material.file} is not valid before {_day(certificate.not_valid_before_utc)}")


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _self_signed(key: ec.EllipticCurvePrivateKey, hostnames: Iterable[str], now: datetime) -> x509.Certificate:
    """Generate a certificate for this machine's names, self-signed (RFC 5280 section 4.2 for its extensions)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signalpost (self-signed)")])
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(_general_names([*_LOOPBACK, *hostnames])), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_DIGITAL_SIGNATURE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


_DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _general_names(hostnames: Iterable[str]) -> list[x509.GeneralName]:
    """Convert host names and addresses for a certificate, each once; wildcards and impossible names are omitted."""
    names = (_general_name(hostname) for hostname in hostnames if hostname not in _WILDCARDS)
    return list(dict.fromkeys(name for name in names if name is not None))


def _general_name(hostname: str) -> x509.GeneralName | None:
    try:
        return x509.IPAddress(ip_address(hostname.partition("%")[0]))  # an IPv6 zone has no meaning for others
    except ValueError:
        pass
    try:
        return x509.DNSName(hostname.encode("idna").decode("ascii").lower())
    except UnicodeError:
        return None

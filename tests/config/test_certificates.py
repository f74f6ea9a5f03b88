"""Certificates as people have them: good ones pass, and each way of being wrong is told apart."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from signalpost.config.certificates import check_certificate, load_certificate
from signalpost.config.model import TlsConfig

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Identity:
    """A key and its certificate, to be written down in whatever form a test is about."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    def key_pem(
        self,
        passphrase: bytes | None = None,
        style: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    ) -> bytes:
        return self.key.private_bytes(PEM, style, encryption(passphrase))

    def pfx(self, password: bytes | None = None, others: list[x509.Certificate] | None = None) -> bytes:
        return pkcs12.serialize_key_and_certificates(
            b"signalpost", self.key, self.certificate, others, encryption(password)
        )


def encryption(password: bytes | None) -> serialization.KeySerializationEncryption:
    return serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()


def make_identity(
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=1),
    *,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None,
) -> Identity:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return Identity(key, certificate)


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, data: bytes) -> Path:
        file = tmp_path / name
        file.write_bytes(data)
        return file

    return write


def check(file: Path, key: Path | None = None, password: str | None = None) -> str | None:
    return check_certificate(TlsConfig(certificate=file, key=key, password=password), now=NOW)


def test_a_pem_with_certificate_and_key_is_good(identity, write):
    assert check(write("both.pem", identity.pem + identity.key_pem())) is None


def test_the_key_may_stand_before_the_certificate(identity, write):
    assert check(write("both.pem", identity.key_pem() + identity.pem)) is None


def test_a_pem_with_its_key_in_another_file_is_good(identity, write):
    assert check(write("cert.pem", identity.pem), write("key.pem", identity.key_pem())) is None


@pytest.mark.parametrize("style", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_a_key_under_a_passphrase_opens_with_it(identity, write, style):
    file = write("both.pem", identity.pem + identity.key_pem(b"open sesame", style))
    assert check(file, password="open sesame") is None


@pytest.mark.parametrize("style", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_a_wrong_passphrase_is_told_apart_from_a_missing_one(identity, write, style):
    file = write("both.pem", identity.pem + identity.key_pem(b"open sesame", style))
    assert check(file, password="open barley") == f"the password does not open the key in {file}"
    assert check(file) == f"the key in {file} needs a passphrase; give it as password"


def test_a_passphrase_that_is_not_needed_does_no_harm(identity, write):
    assert check(write("both.pem", identity.pem + identity.key_pem()), password="unused") is None


@pytest.mark.parametrize("password", [None, "grüß Gott"])
def test_a_pfx_opens_with_its_password(identity, write, password):
    file = write("server.pfx", identity.pfx(password.encode() if password else None))
    assert check(file, password=password) is None


def test_a_pfx_with_a_wrong_password_is_told_apart_from_one_without(identity, write):
    file = write("server.p12", identity.pfx(b"right"))
    assert check(file, password="wrong") == f"the password does not open {file}, or the file is damaged"
    assert check(file) == f"{file} needs a password, or is damaged"


def test_a_pfx_without_a_key_says_so(identity, write):
    data = pkcs12.serialize_key_and_certificates(b"", None, None, [identity.certificate], encryption(b"pw"))
    file = write("server.pfx", data)
    assert check(file, password="pw") == f"{file} holds no private key; export it again together with its key"


def test_a_pfx_without_a_certificate_says_so(identity, write):
    data = pkcs12.serialize_key_and_certificates(b"", identity.key, None, None, encryption(b"pw"))
    file = write("server.pfx", data)
    assert check(file, password="pw") == f"{file} holds no certificate that belongs to its key"


def test_a_key_beside_a_pfx_is_one_too_many(identity, write):
    file = write("server.pfx", identity.pfx())
    assert check(file, write("key.pem", identity.key_pem())) == (
        f"{file} is a pfx file, which holds its own key; leave out key"
    )


def test_a_certificate_without_any_key_says_where_one_could_be_named(identity, write):
    file = write("cert.pem", identity.pem)
    assert check(file) == f"{file} holds no private key; name the file that has it as key"


def test_a_key_file_without_a_key_is_named(identity, write):
    key = write("key.pem", identity.pem)
    assert check(write("cert.pem", identity.pem), key) == f"{key} holds no private key"


def test_a_key_alone_is_no_certificate(identity, write):
    file = write("key.pem", identity.key_pem())
    assert check(file) == f"{file} holds no certificate"


def test_a_key_of_another_certificate_is_refused(identity, write):
    file = write("cert.pem", identity.pem)
    problem = check(file, write("key.pem", make_identity().key_pem()))
    assert problem == f"the key does not belong to the certificate in {file}"


def test_a_chain_in_the_wrong_order_says_which_certificate_comes_first(identity, write):
    file = write("chain.pem", make_identity().pem + identity.pem + identity.key_pem())
    assert check(file) == f"the key belongs to certificate 2 in {file}; put the server's own certificate first"


def test_an_expired_certificate_says_since_when(write):
    old = make_identity(NOW - timedelta(days=30), NOW - timedelta(days=1))
    file = write("old.pem", old.pem + old.key_pem())
    assert check(file) == f"the certificate in {file} expired on 2026-06-14 12:00 UTC"


def test_an_expired_certificate_of_the_chain_is_named(identity, write):
    old = make_identity(NOW - timedelta(days=30), NOW - timedelta(days=1))
    file = write("chain.pem", identity.pem + old.pem + identity.key_pem())
    assert check(file) == f"certificate 2 of the chain in {file} expired on 2026-06-14 12:00 UTC"


def test_a_certificate_that_is_yet_to_begin_says_when(write):
    early = make_identity(NOW + timedelta(days=1), NOW + timedelta(days=2))
    file = write("early.pem", early.pem + early.key_pem())
    assert check(file) == f"the certificate in {file} is not valid before 2026-06-16 12:00 UTC"


def test_validity_is_judged_by_the_clock_unless_told(write):
    ended = make_identity(datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 2, 1, tzinfo=UTC))
    file = write("old.pem", ended.pem + ended.key_pem())
    assert check_certificate(TlsConfig(certificate=file)) == (
        f"the certificate in {file} expired on 2001-02-01 00:00 UTC"
    )


def test_a_file_of_another_kind_is_neither_pem_nor_pfx(write):
    file = write("notes.txt", b"to do: get a certificate")
    assert check(file) == f"{file} is neither a pem nor a pfx certificate"


def test_a_der_certificate_gets_the_advice_to_convert_it(identity, write):
    file = write("server.cer", identity.certificate.public_bytes(serialization.Encoding.DER))
    assert check(file) == f"{file} is a certificate in DER form; convert it to pem (openssl x509 -inform der)"


def test_a_damaged_certificate_and_a_damaged_key_are_told_apart(identity, write):
    torn = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    file = write("torn.pem", torn + identity.key_pem())
    assert check(file) == f"{file} holds a damaged certificate"
    key = write("key.pem", b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")
    assert check(write("cert.pem", identity.pem), key) == f"the key in {key} is damaged"


def test_a_short_rsa_key_is_refused_before_openssl_does(write):
    weak = make_identity(key=rsa.generate_private_key(65537, 1024))
    file = write("weak.pem", weak.pem + weak.key_pem())
    assert check(file) == f"the key in {file} has 1024 bits; RSA needs at least 2048"


def test_a_key_that_tls_cannot_use_is_refused(identity, write):
    key = write(
        "dsa.pem",
        dsa.generate_private_key(1024).private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    assert check(write("cert.pem", identity.pem), key) == (
        f"the key in {key} is of a kind that TLS cannot use; use an RSA, EC or Ed25519 key"
    )


def test_a_file_that_cannot_be_read_is_no_traceback(tmp_path):
    assert check(tmp_path) == f"{tmp_path} cannot be read: Is a directory"


def test_no_certificate_at_all_says_what_to_name():
    assert check_certificate(TlsConfig()) == "no certificate is named; name one, or say self_signed: true"


@given(
    data=st.binary(max_size=200)
    | st.builds(bytes.__add__, st.just(b"\x30\x82\x01\x00\x02\x01\x03"), st.binary(max_size=200))
    | st.builds(lambda inner: b"-----BEGIN CERTIFICATE-----\n" + inner, st.binary(max_size=200)),
    password=st.none() | st.text(max_size=10),
)
def test_whatever_a_file_holds_the_answer_is_one_line(tmp_path_factory, data, password):
    file = tmp_path_factory.getbasetemp() / "any.pem"
    file.write_bytes(data)
    problem = check(file, password=password)
    assert problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()], ids=["rsa", "ed25519"]
)
def test_what_is_loaded_is_chain_and_plain_key(write, key):
    first, second = make_identity(key=key), make_identity()
    file = write("server.pfx", first.pfx(b"pw", [second.certificate]))
    loaded = load_certificate(TlsConfig(certificate=file, password="pw"), ())
    assert x509.load_pem_x509_certificates(loaded.chain) == [first.certificate, second.certificate]
    assert loaded.key == first.key_pem()


def test_a_certificate_that_is_wrong_cannot_be_loaded(identity, write):
    file = write("cert.pem", identity.pem)
    with pytest.raises(ValueError, match="holds no private key"):
        load_certificate(TlsConfig(certificate=file), ())


def test_the_key_and_the_password_stay_out_of_what_is_logged(identity, write):
    tls = TlsConfig(certificate=write("both.pem", identity.pem + identity.key_pem()), password="open sesame")
    assert "PRIVATE" not in repr(load_certificate(tls, ()))
    assert "sesame" not in repr(tls)


def self_signed(*hostnames: str, now: datetime | None = NOW) -> x509.Certificate:
    made = load_certificate(TlsConfig(self_signed=True), hostnames, now=now)
    return x509.load_pem_x509_certificate(made.chain)


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_a_self_signed_certificate_is_always_good():
    assert check_certificate(TlsConfig(self_signed=True)) is None


def test_a_self_signed_certificate_is_for_the_loopback_and_the_names_given():
    names = names_of(self_signed("10.1.2.3", "Signal-Box", "fe80::1%eth0", "localhost"))
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "signal-box"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ip_address(text) for text in ("127.0.0.1", "::1", "10.1.2.3", "fe80::1")
    ]


@pytest.mark.parametrize("hostname", ["*", "0.0.0.0", "::", "", "a..b", "x" * 70])
def test_a_name_that_no_certificate_can_carry_is_left_out(hostname):
    assert names_of(self_signed(hostname)) == names_of(self_signed())


def test_a_self_signed_certificate_began_an_hour_ago_and_lasts_thirty_days():
    certificate = self_signed()
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=30)


def test_every_self_signed_certificate_is_a_new_one():
    assert self_signed().serial_number != self_signed().serial_number

"""TLS contexts, tried by real handshakes over the loopback."""

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from signalpost.config.model import TlsConfig
from signalpost.errors import ListenError
from signalpost.serving import tls as tls_module
from signalpost.serving.tls import server_context

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


def make_certificate(key, ends_in_days: int = 1, digest: hashes.HashAlgorithm | None = None) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    if digest is None and not isinstance(key, ed25519.Ed25519PrivateKey):
        digest = hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=ends_in_days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, digest)
    )


def encryption(password: str | None) -> serialization.KeySerializationEncryption:
    return serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()


@pytest.fixture
def pem(tmp_path: Path) -> Callable[..., Path]:
    def pem(key, password: str | None = None, **parameters) -> Path:
        file = tmp_path / "server.pem"
        certificate = make_certificate(key, **parameters)
        file.write_bytes(certificate.public_bytes(PEM) + key.private_bytes(PEM, PKCS8, encryption(password)))
        return file

    return pem


def trusting(file: Path | None = None) -> ssl.SSLContext:
    """Make a client that believes the certificates in a file, or any when there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=file.read_bytes().partition(b"-----BEGIN PRIVATE")[0].decode())
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str = "localhost") -> ssl.SSLSocket:
    """Connect client and server over the loopback and return the client's side, closed for writing by the server."""

    def serve() -> None:
        accepted, _ = listener.accept()
        try:
            with server.wrap_socket(accepted, server_side=True) as secured:
                secured.sendall(b"welcome")
        except OSError:  # the client refused us, and its own error tells the test
            accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        raw = socket.create_connection(listener.getsockname())
        try:
            secured = client.wrap_socket(raw, server_hostname=hostname)
        except OSError:
            raw.close()
            raise
        finally:
            thread.join()
    assert secured.recv(100) == b"welcome"
    return secured


@pytest.mark.parametrize(
    "make_key",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["ec", "rsa", "ed25519"],
)
def test_a_client_that_trusts_the_certificate_connects(pem, make_key):
    file = pem(make_key(), "open sesame")
    server = server_context(TlsConfig(certificate=file, password="open sesame"), "127.0.0.1")
    with closing(shake_hands(server, trusting(file))) as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.compression() is None


def test_a_pfx_serves_its_whole_chain(tmp_path):
    key, authority = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    own, other = make_certificate(key), make_certificate(authority)
    file = tmp_path / "server.pfx"
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"", key, own, [other], encryption("pw")))
    server = server_context(TlsConfig(certificate=file, password="pw"), "127.0.0.1")
    with closing(shake_hands(server, trusting())) as connection:
        assert connection.getpeercert(binary_form=True) == own.public_bytes(serialization.Encoding.DER)


def test_a_self_signed_server_is_for_its_address_and_this_machine():
    server = server_context(TlsConfig(self_signed=True), "127.0.0.7")
    with closing(shake_hands(server, trusting())) as connection:
        certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert socket.gethostname().lower() in names.get_values_for_type(x509.DNSName)
    assert "127.0.0.7" in [str(address) for address in names.get_values_for_type(x509.IPAddress)]


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "::1"])
def test_a_strict_client_that_is_handed_the_self_signed_certificate_believes_it(hostname):
    server = server_context(TlsConfig(self_signed=True), "*")
    with closing(shake_hands(server, trusting())) as connection:
        certificate = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True))
    strict = ssl.create_default_context(cadata=certificate)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    shake_hands(server, strict, hostname).close()


def test_the_self_signed_certificate_is_for_no_other_name():
    server = server_context(TlsConfig(self_signed=True), "*")
    with closing(shake_hands(server, trusting())) as connection:
        certificate = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|mismatch"):
        shake_hands(server, ssl.create_default_context(cadata=certificate), "example.org")


def test_http_1_1_is_agreed_on_by_alpn():
    client = trusting()
    client.set_alpn_protocols(["h2", "http/1.1"])
    with closing(shake_hands(server_context(TlsConfig(self_signed=True), "*"), client)) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_tls_1_2_is_spoken_with_forward_secrecy_only():
    client = trusting()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ALL")
    with closing(shake_hands(server_context(TlsConfig(self_signed=True), "*"), client)) as connection:
        assert connection.version() == "TLSv1.2"
        name, _, _ = connection.cipher()
        assert name.startswith("ECDHE-")
        assert "GCM" in name or "CHACHA20" in name


def test_nothing_older_than_tls_1_2_is_spoken():
    server = server_context(TlsConfig(self_signed=True), "*")
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2
    client = trusting()
    client.set_ciphers("AES128-SHA:@SECLEVEL=0")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
        shake_hands(server, client)


def test_an_expired_certificate_is_one_clear_line(pem):
    file = pem(ec.generate_private_key(ec.SECP256R1()), ends_in_days=-1)
    with pytest.raises(ListenError) as caught:
        server_context(TlsConfig(certificate=file), "*")
    assert str(caught.value).startswith(f"the certificate in {file} expired on ")


def test_a_wrong_password_is_one_clear_line(pem):
    file = pem(ec.generate_private_key(ec.SECP256R1()), "right")
    with pytest.raises(ListenError, match="the password does not open the key in "):
        server_context(TlsConfig(certificate=file, password="wrong"), "*")


def test_what_only_openssl_finds_wrong_is_one_clear_line_too(pem, monkeypatch):
    file = pem(rsa.generate_private_key(65537, 2048))
    monkeypatch.setattr(tls_module, "_CIPHERS", "ECDHE+AESGCM:@SECLEVEL=5")  # wants keys of 15360 bits
    with pytest.raises(ListenError, match=r"^the certificate .*server\.pem cannot be used: EE_KEY_TOO_SMALL$"):
        server_context(TlsConfig(certificate=file), "*")


def test_no_key_stays_on_the_disk_and_none_is_ever_there_in_clear(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy(seen))
    server_context(TlsConfig(self_signed=True), "*")
    ((mode, text),) = seen
    assert mode == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in text
    assert b"BEGIN PRIVATE KEY" not in text
    assert list(tmp_path.iterdir()) == []


def spy(seen: list[tuple[int, bytes]]) -> Callable[..., None]:
    """Look at the file that OpenSSL is handed, then hand it over."""
    load = ssl.SSLContext.load_cert_chain

    def look(context: ssl.SSLContext, certfile: str, **options: str) -> None:
        file = Path(certfile)
        seen.append((file.stat().st_mode & 0o777, file.read_bytes()))
        load(context, certfile, **options)

    return look

"""Feeds over TLS: whose certificates are trusted."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RELAY = """
feeds:
  - name: prices
    url: wss://127.0.0.1:{port}
    {ca}
    broadcast: {{value: "{{{{ message }}}}"}}
"""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Make a certificate that only those trust who are given it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "feed")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "site.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.fixture
async def secure(another, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return await another(ssl=context)


async def test_a_private_authority_is_trusted_where_it_is_named(run_app, secure, certificate):
    async with run_app(RELAY.format(port=secure.port, ca=f"ca: {certificate}")) as app, app.connect("/") as ada:
        feed = await secure.accept()
        await feed.send("over TLS")
        assert await ada.receive() == "over TLS"


async def test_another_certificate_is_told_with_the_key_that_may_help(run_app, secure, time, told):
    async with run_app(RELAY.format(port=secure.port, ca="")):
        await time.waited()
    assert "its certificate is not trusted (" in told()[0]
    assert "; ca: names the certificates of a private authority; next try in" in told()[0]


async def test_a_host_that_is_secret_is_in_no_word_about_its_certificate(run_app, secure, certificate, time, told):
    (certificate.parent / "secrets.yaml").write_text(
        f"feed: wss://localhost:{secure.port}\n"
    )  # it is one for 127.0.0.1
    text = RELAY.format(port=1, ca=f"ca: {certificate}").replace("wss://127.0.0.1:1", "!secret feed")
    async with run_app(text, folder=certificate.parent):
        await time.waited()
    assert "at !secret feed: its certificate is not trusted (" in told()[0]
    assert "localhost" not in told()[0]


async def test_a_port_without_tls_is_told(run_app, elsewhere, time, told):
    async with run_app(RELAY.format(port=elsewhere.port, ca="")):
        await time.waited()
    assert "its server hung up; is its port one for wss?; next try in" in told()[0]


async def test_certificates_are_read_once_for_a_feed(run_app, secure, certificate, time, tmp_path):
    copy = tmp_path / "ca.pem"
    copy.write_bytes(certificate.read_bytes())
    async with run_app(RELAY.format(port=secure.port, ca="ca: ca.pem"), folder=tmp_path):
        feed = await secure.accept()
        copy.unlink()
        feed.transport.abort()
        await time.skip()
        await secure.accept()


async def test_a_renewed_authority_counts_as_a_change(run_app, secure, certificate, tmp_path):
    copy = tmp_path / "ca.pem"
    copy.write_bytes(certificate.read_bytes())
    async with run_app(RELAY.format(port=secure.port, ca="ca: ca.pem"), folder=tmp_path) as app:
        await secure.accept()
        assert not (await app.reload()).changes
        copy.write_bytes(b"\n" + certificate.read_bytes())
        assert (await app.reload()).changes.feeds.changed == ("prices",)
        await secure.accept()

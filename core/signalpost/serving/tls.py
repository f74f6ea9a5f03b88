"""TLS of https and wss endpoints: from a certificate to the context of a listener."""

import secrets
import socket
import ssl
from tempfile import NamedTemporaryFile

from cryptography.hazmat.primitives import serialization

from signalpost.config.certificates import CertificateChain, check_certificate, load_certificate
from signalpost.config.model import TlsConfig
from signalpost.errors import ListenError

# TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325 section 4.2); those of 1.3 are all good.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(tls: TlsConfig, address: str) -> ssl.SSLContext:
    """Create the context of a TLS listener: TLS 1.2 and 1.3, HTTP/1.1 by ALPN, no compression, no renegotiation.

    Args:
        tls: the certificate, or the setting that one is generated for this machine's names.
        address: of the endpoint; a self-signed certificate includes it.

    Raises:
        ListenError: the certificate, its key or its password cannot be used; one line with the reason.
    """
    problem = check_certificate(tls)
    if problem is not None:
        raise ListenError(problem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        _load(context, load_certificate(tls, (address, socket.gethostname())))
    except ValueError as error:
        raise ListenError(str(error)) from None
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or "OpenSSL does not say why"
        raise ListenError(f"the certificate {tls.certificate or '(self-signed)'} cannot be used: {reason}") from None
    return context


def _load(context: ssl.SSLContext, certificate: CertificateChain) -> None:
    """Load certificate and key into OpenSSL, which reads them only from files.

    The file is readable by this user alone and deleted before this returns. If the process dies in between, the file
    that remains is encrypted with a password that nobody knows.
    """
    password = secrets.token_bytes(32).hex()
    key = serialization.load_pem_private_key(certificate.key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    with NamedTemporaryFile(prefix="signalpost-", suffix=".pem") as file:
        file.write(certificate.chain + key)
        file.flush()
        context.load_cert_chain(file.name, password=password)

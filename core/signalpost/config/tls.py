"""The certificates of endpoints: only on encrypted ones, readable, and valid."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from signalpost.config.model import EndpointConfig, Scheme, TlsConfig
from signalpost.config.section import Section, find_file

_KEYS = ("certificate", "key", "password", "self_signed")
_PFX_SUFFIXES = (".pfx", ".p12")


def read_tls(section: Section, scheme: Scheme, folder: Path) -> TlsConfig | None:
    """Read the certificate of an endpoint; None if it has none, or, with a problem, if it cannot be used."""
    if not scheme.secure:
        _refuse_tls(section, scheme)
        return None
    if section.flag("self_signed"):
        return _self_signed(section)
    if "self_signed" in section and section.data["self_signed"] is not False:
        return None  # it is not a boolean, which is reported; it does not mean that no certificate is given
    if "certificate" not in section:
        text = f"{scheme.value} needs a certificate: add certificate: FILE.pem (or FILE.pfx), or self_signed: true"
        section.problem("protocol", text)
        if "key" in section:
            section.problem("key", "a key belongs to a certificate: add certificate: FILE.pem", of_key=True)
        return None
    return _from_files(section, folder)


def check_certificates(endpoints: Sequence[tuple[Section, EndpointConfig]]) -> None:
    """Report certificates that cannot be used, each where it is first named."""
    first: dict[TlsConfig, Section] = {}
    for section, config in endpoints:
        if config.tls is not None:
            first.setdefault(config.tls, section)
    if not first:
        return
    from signalpost.config.certificates import check_certificate  # loads cryptography

    for tls, section in first.items():
        text = check_certificate(tls)
        if text is not None:
            section.problem("certificate", text)


def certificate_digest(files: Iterable[Path]) -> str:
    """Return a digest of the contents of a certificate's files; an unreadable file counts as empty."""
    found = hashlib.sha256()
    for file in files:
        with suppress(OSError):
            found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _refuse_tls(section: Section, scheme: Scheme) -> None:
    secure = {Scheme.HTTP: Scheme.HTTPS, Scheme.WS: Scheme.WSS}[scheme]
    for name in _KEYS:
        if section.data.get(name) not in (None, False):
            text = f"{scheme.value} is not encrypted, so it has no {name}: use protocol: {secure.value} or leave it out"
            section.problem(name, text, of_key=True)


def _self_signed(section: Section) -> TlsConfig:
    for name in ("certificate", "key", "password"):
        if name in section:
            text = f"self_signed makes a certificate of its own: leave out either {name} or self_signed"
            section.problem(name, text, of_key=True)
    return TlsConfig(self_signed=True)


def _from_files(section: Section, folder: Path) -> TlsConfig | None:
    certificate = find_file(section, "certificate", folder)
    key = find_file(section, "key", folder)
    if certificate is not None and certificate.suffix.lower() in _PFX_SUFFIXES and "key" in section:
        section.problem("key", f"a {certificate.suffix} file holds its own key: leave this out", of_key=True)
        return None
    if certificate is None or (key is None and "key" in section):
        return None
    password = section.data.get("password")
    digest = certificate_digest(file for file in (certificate, key) if file is not None)
    return TlsConfig(certificate, key, password if isinstance(password, str) else None, digest=digest)

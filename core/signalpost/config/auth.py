"""The section ``auth``: how clients say who they are, and who is imagined for proofs."""

from signalpost.config.model import AuthConfig
from signalpost.config.section import Section


def read_auth(root: Section) -> AuthConfig | None:
    """Read the section ``auth``; without it, clients have no identity."""
    section = root.section("auth")
    return None if section is None else AuthConfig(section.keys)

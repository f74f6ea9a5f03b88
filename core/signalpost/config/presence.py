"""The key ``presence`` of a signal."""

from signalpost.config.model import PresenceConfig
from signalpost.config.section import Section
from signalpost.units import parse_duration, parse_wait

_DEFAULT = PresenceConfig()


def read_presence(signal: Section) -> PresenceConfig | None:
    """Read whether and how clients of a signal are told who is there."""
    section = signal.section("presence")
    if section is None:
        return _DEFAULT if signal.flag("presence") else None
    grace = section.quantity("grace", parse_wait)
    return PresenceConfig(
        section.data.get("info"),
        _DEFAULT.grace if grace is None else grace,
        section.quantity("every", parse_duration) or _DEFAULT.every,
        section.whole("most", _DEFAULT.most),
    )

"""The section ``limits``, and checks of its sizes together with those of signals."""

from collections.abc import Sequence

from signalpost.config.model import AddressLimits, LimitsConfig, RateConfig, SignalConfig, UserLimits
from signalpost.config.section import Section
from signalpost.units import (
    MEBIBYTE,
    format_size,
    parse_byte_rate,
    parse_duration,
    parse_quota,
    parse_rate,
    parse_size,
    parse_wait,
)

_DEFAULT = LimitsConfig()

LEAST_HEAD, MOST_HEAD = 4_096, MEBIBYTE // 4
"""Smallest and largest value of ``head`` in bytes."""


def read_limits(root: Section, signals: Sequence[SignalConfig]) -> LimitsConfig:
    """Read the section ``limits``.

    Args:
        root: the whole file.
        signals: those that could be read; a buffer of theirs must fit, too.
    """
    section = root.section("limits")
    if section is None:
        return _DEFAULT
    given = section.quantity("message", parse_size)
    message = given or _DEFAULT.message
    outboxes = section.quantity("outboxes", parse_size)
    drain = section.quantity("drain", parse_wait)
    outbox = section.quantity("outbox", parse_size)
    # By default, a second message of the largest size may wait behind the first.
    default_outbox = max(_DEFAULT.outbox, message)
    unread = given is None and "message" in section  # a separate problem, without consequences
    if outboxes is not None and (unread or _holds_a_message(section, outboxes, message)):
        _check_buffers(section, outboxes, outbox, signals)
        default_outbox = min(default_outbox, outboxes)
    inbound = section.quantity("inbound", parse_size)
    if inbound is not None and not unread and inbound < message:
        section.problem(
            "inbound",
            f"{format_size(inbound)} for all clients together is less than the largest message "
            f"({format_size(message)}, {_why(section)}), which could never arrive; allow at least "
            f"{format_size(message)} here, or at most {format_size(inbound)} there",
        )
    head = section.quantity("head", parse_size)
    if head is not None and not LEAST_HEAD <= head <= MOST_HEAD:
        section.problem(
            "head",
            f"{format_size(head)} is out of range (allowed: {format_size(LEAST_HEAD)}, which browsers need, to "
            f"{format_size(MOST_HEAD)}, as anybody may send a head)",
        )
    return LimitsConfig(
        message=message,
        head=head or _DEFAULT.head,
        connections=section.whole("connections", _DEFAULT.connections),
        handshake=section.quantity("handshake", parse_duration) or _DEFAULT.handshake,
        outbox=outbox or default_outbox,
        outboxes=outboxes,
        inbound=inbound,
        handlers=section.whole("handlers", _DEFAULT.handlers),
        rate=_read_rate(section),
        drain=_DEFAULT.drain if drain is None else drain,
        startup=section.quantity("startup", parse_duration) or _DEFAULT.startup,
        response=section.quantity("response", parse_duration) or _DEFAULT.response,
        per_address=_read_per_address(section),
        per_user=_read_per_user(section),
    )


def _read_rate(limits: Section) -> RateConfig:
    """Read ``rate``: frames a second, or a mapping of frames and bytes; 0 for both is no limit at all."""
    default = _DEFAULT.rate
    parts = limits.section("rate")
    if parts is None:
        frames = limits.quantity("rate", parse_rate)
        if frames is None:
            return default
        return RateConfig(frames, default.bytes if frames else 0.0)
    frames, size = parts.quantity("frames", parse_rate), parts.quantity("bytes", parse_byte_rate)
    return RateConfig(default.frames if frames is None else frames, default.bytes if size is None else size)


def _read_per_address(limits: Section) -> AddressLimits:
    parts = limits.section("per_address")
    if parts is None:
        return AddressLimits()
    return AddressLimits(
        connections=parts.whole("connections", 0) or None,
        handshakes=parts.quantity("handshakes", parse_quota),
        requests=parts.quantity("requests", parse_quota),
    )


def _read_per_user(limits: Section) -> UserLimits:
    parts = limits.section("per_user")
    if parts is None:
        return UserLimits()
    return UserLimits(
        connections=parts.whole("connections", 0) or None, rate=parts.quantity("rate", parse_rate) or None
    )


def _holds_a_message(limits: Section, outboxes: int, message: int) -> bool:
    """Report outboxes smaller than one message: its receivers would be dropped, however fast they read."""
    if outboxes >= message:
        return True
    limits.problem(
        "outboxes",
        f"{format_size(outboxes)} for all clients together is less than the largest message ({format_size(message)}, "
        f"{_why(limits)}), whose receivers would be dropped; allow at least {format_size(message)} "
        f"here, or at most {format_size(outboxes)} there",
    )
    return False


def _why(limits: Section) -> str:
    """Return the reason for the largest size of a message."""
    return "as limits.message says" if "message" in limits else "unless limits.message says less"


def _check_buffers(limits: Section, outboxes: int, outbox: int | None, signals: Sequence[SignalConfig]) -> None:
    """Report buffers for one client that exceed those for all clients together."""
    sizes = [((*signal.keys, "slow", "buffer"), signal.slow.buffer) for signal in signals]
    for keys, size in (((*limits.keys, "outbox"), outbox), *sizes):
        if size is not None and size > outboxes:
            limits.report.add(
                keys,
                f"{format_size(size)} for one client is more than {format_size(outboxes)} for all together "
                f"({limits.place('outboxes')}, limits.outboxes): the client is dropped earlier, whatever "
                "its policy; allow less here, or more there",
            )

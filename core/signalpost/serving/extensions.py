"""The offers of permessage-deflate in a handshake, and which of them is taken (RFC 7692 section 7.1). Pure."""

import re
from collections.abc import Callable, Sequence

from signalpost.delivery.deflate import LARGEST_WINDOW, SMALLEST_WINDOW, Agreement

_NAME = "permessage-deflate"
_CLIENT_WINDOW = 12
"""Bits that are asked of a client that lets itself be asked: signals are short, and a window of 4 KiB holds several of
them. It costs the server an eighth of the 32 KiB that each client's window takes otherwise."""

# RFC 6455 section 9.1: a token, or a token in quotes. What is no quote, to the end, is part of what it stands in.
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_OFFER = re.compile(rf'(?:[^",]|{_QUOTED})++', re.DOTALL)
_PART = re.compile(rf'(?:[^";]|{_QUOTED})++|(?<=;)(?=;|\Z)|\A(?=;)', re.DOTALL)
_PARAMETER = re.compile(rf'\s*(?P<name>{_WORD})\s*(?:=\s*(?:(?P<value>{_WORD})|"(?P<quoted>[^"]*)")\s*)?')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BITS = {str(bits): bits for bits in range(8, LARGEST_WINDOW + 1)}  # no leading zeros: section 7.1.2

Parameters = dict[str, str | None]
"""Values by name; None is a parameter without a value."""


class _DeclinedError(Exception):
    """An offer has parameters that it must not have: the next one is looked at."""


def agree(values: Sequence[str]) -> tuple[Agreement, str] | None:
    """Take the first offer of permessage-deflate that can be taken.

    An offer with a parameter that is unknown, given twice, or of a value that it must not have, is declined (section
    7.1), and so is a server window of 8 bits, which zlib does not have. Other extensions are passed over. Nothing that
    stands in these headers fails a handshake: the connection is then simply uncompressed.

    Args:
        values: of the headers Sec-WebSocket-Extensions.

    Returns:
        What holds from now on, and the answer's Sec-WebSocket-Extensions; None when nothing can be taken.

    """
    for offer in _OFFER.findall(",".join(values)):
        parts = _PART.findall(offer)
        if parts[0].strip() != _NAME:
            continue
        try:
            return _accept(_parameters(parts[1:]))
        except _DeclinedError:
            continue
    return None


def _parameters(parts: Sequence[str]) -> Parameters:
    found: Parameters = {}
    for part in parts:
        match = _PARAMETER.fullmatch(part)
        if match is None or match["name"] in found:
            raise _DeclinedError
        quoted = match["quoted"]
        found[match["name"]] = match["value"] if quoted is None else _ESCAPE.sub(r"\1", quoted)
    return found


def _accept(parameters: Parameters) -> tuple[Agreement, str]:
    unknown = parameters.keys() - _READERS.keys()
    if unknown:
        raise _DeclinedError
    read = {name: _READERS[name](value) for name, value in parameters.items()}
    server_window = read.get("server_max_window_bits", LARGEST_WINDOW)
    takes_over = "client_no_context_takeover" not in read
    client_window = LARGEST_WINDOW
    answer = [_NAME, "server_no_context_takeover"]
    if not takes_over:
        answer.append("client_no_context_takeover")
    if "server_max_window_bits" in read:
        answer.append(f"server_max_window_bits={server_window}")
    if "client_max_window_bits" in read:  # who does not offer it cannot be asked for it: section 7.1.2.2
        client_window = min(read["client_max_window_bits"], _CLIENT_WINDOW)
        answer.append(f"client_max_window_bits={client_window}")
    return Agreement(server_window, client_window, takes_over), "; ".join(answer)


def _no_value(value: str | None) -> int:
    if value is not None:
        raise _DeclinedError
    return 1


def _server_bits(value: str | None) -> int:
    bits = _BITS.get(value or "")
    if bits is None or bits < SMALLEST_WINDOW:
        raise _DeclinedError
    return bits


def _client_bits(value: str | None) -> int:
    if value is None:
        return LARGEST_WINDOW
    if value not in _BITS:
        raise _DeclinedError
    return _BITS[value]


_READERS: dict[str, Callable[[str | None], int]] = {
    "server_no_context_takeover": _no_value,
    "client_no_context_takeover": _no_value,
    "server_max_window_bits": _server_bits,
    "client_max_window_bits": _client_bits,
}

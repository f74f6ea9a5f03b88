"""Sec-WebSocket-Extensions: parse it (RFC 6455 section 9.1), and choose an offer of permessage-deflate. Pure.

Two things may be wrong with the header, and the RFCs treat them differently. A header that violates the grammar is
rejected: "the recipient of such malformed data MUST immediately _Fail the WebSocket Connection_" (RFC 6455 section
9.1), which for a server still reading the handshake is an answer such as 400 (section 4.2.1). An offer that follows the
grammar, but has parameters that permessage-deflate does not define or allow, "MUST be declined" (RFC 7692 section 7.1):
the next one is tried, and without any the connection is uncompressed.

The first rule applies to endpoints without compression too: so the author of a client finds the mistake at once, not
when compression is enabled.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from signalpost.websocket.deflate import LARGEST_WINDOW, SMALLEST_WINDOW, Agreement

_NAME = "permessage-deflate"
_CLIENT_WINDOW = 12
"""Bits requested of a client that allows a request: signals are short, and a window of 4 KiB holds several of them. It
costs the server an eighth of the 32 KiB that each client's window needs otherwise."""

_CHARACTER = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN = rf"{_CHARACTER}+"
"""RFC 9110 section 5.6.2, which is RFC 2616's."""

# RFC 6455 section 9.1, with the white space that RFC 2616 implies. A quoted value must be a token after the backslashes
# are removed: it never contains a comma or a semicolon, so lists may be split at theirs.
_SPACE = " \t"
_NAMED = re.compile(TOKEN)
_PARAMETER = re.compile(rf'({TOKEN})(?:[{_SPACE}]*=[{_SPACE}]*(?:({TOKEN})|"((?:\\?{_CHARACTER})+)"))?')
_MOST, _MOST_PARAMETERS = 32, 16
"""Offers that are read, and parameters that one may have: browsers offer one extension with one parameter."""

_BITS = {str(bits): bits for bits in range(8, LARGEST_WINDOW + 1)}  # no leading zeros: section 7.1.2

Parameters = dict[str, str | None]
"""Values by name; None is a parameter without a value."""


class MalformedError(Exception):
    """A Sec-WebSocket-Extensions that violates the grammar; the text says where."""


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that a client offers; it may offer one several times, with different parameters.

    Attributes:
        name: such as ``permessage-deflate``.
        parameters: names and values in their order; None is a parameter without a value. A name may occur twice.
    """

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()


def read_extensions(values: Sequence[str]) -> tuple[Extension, ...]:
    """Parse the headers Sec-WebSocket-Extensions of a handshake, which form one list.

    ``['a; b=1; c, a; b="2"']`` is ``Extension("a", (("b", "1"), ("c", None)))`` and ``Extension("a", (("b", "2"),))``.

    Returns:
        The offers in the client's order of preference, of which only the first 32 are read; none without a
        header.

    Raises:
        MalformedError: it violates the grammar, or an offer has more than 16 parameters.
    """
    if not values:
        return ()
    parts = islice((part for value in values for part in value.split(",", _MOST)[:_MOST]), _MOST)
    found = tuple(_extension(item) for part in parts if (item := part.strip(_SPACE)))
    if not found:
        raise MalformedError("it is empty")
    return found


def _extension(text: str) -> Extension:
    name, *parameters = (part.strip(_SPACE) for part in text.split(";", _MOST_PARAMETERS + 1))
    found = [_PARAMETER.fullmatch(parameter) for parameter in parameters]
    if _NAMED.fullmatch(name) is None or None in found or len(found) > _MOST_PARAMETERS:
        raise MalformedError(f"it has {text[:40]!a} where an extension is expected, such as {_NAME}; name=value")
    return Extension(name, tuple((match[1], _value(match)) for match in found if match is not None))


def _value(parameter: re.Match[str]) -> str | None:
    quoted = parameter[3]
    return parameter[2] if quoted is None else quoted.replace("\\", "")


class _DeclinedError(Exception):
    """An offer has parameters that it must not have: the next one is tried."""


def agree(offers: Sequence[Extension]) -> tuple[Agreement, str] | None:
    """Accept the first acceptable offer of permessage-deflate.

    An offer with a parameter that is unknown, repeated, or of an invalid value is declined (RFC 7692 section 7.1), and
    so is a server window of 8 bits, which zlib does not support. Other extensions are ignored.

    Args:
        offers: in the client's order of preference.

    Returns:
        The agreed parameters, and the response's Sec-WebSocket-Extensions; None if no offer is acceptable.
    """
    for offer in offers:
        if offer.name != _NAME:
            continue
        parameters = dict(offer.parameters)
        if len(parameters) < len(offer.parameters):
            continue
        try:
            return _accept(parameters)
        except _DeclinedError:
            continue
    return None


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
    if "client_max_window_bits" in read:  # a client that does not offer it cannot be asked for it: section 7.1.2.2
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

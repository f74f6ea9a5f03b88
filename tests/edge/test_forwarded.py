"""What proxies say of their clients is read from the right, up to the first address that is no proxy's."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from signalpost.config.model import ForwardingHeaders, ProxiesConfig
from signalpost.edge.forwarded import public_view, read_node

PROXY = ("10.0.0.1", 50_000)
INSIDE = ProxiesConfig((ip_network("10.0.0.0/8"), ip_network("fd00::/8")), unix=True)
FORWARDED = ProxiesConfig(INSIDE.networks, headers=ForwardingHeaders.FORWARDED)
X_ONLY = ProxiesConfig(INSIDE.networks, headers=ForwardingHeaders.X_FORWARDED)


def seen(*lines, proxies=INSIDE, peer=PROXY, host="app.internal"):
    """Return what a request with such lines is seen as."""
    headers = CIMultiDict([("Host", host)])
    for line in lines:
        name, _, value = line.partition(": ")
        headers.add(name, value)
    return public_view(proxies, peer, headers)


CLIENTS = [
    ("the one that connected", ["X-Forwarded-For: 203.0.113.7"], ("203.0.113.7", 0)),
    ("what the client says is to the left", ["X-Forwarded-For: 6.6.6.6, 203.0.113.7"], ("203.0.113.7", 0)),
    ("several lines are one list", ["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 203.0.113.7"], ("203.0.113.7", 0)),
    ("proxies are left out", ["X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.9.9.9, 10.1.1.1"], ("203.0.113.7", 0)),
    ("proxies alone: the farthest", ["X-Forwarded-For: 10.2.2.2, 10.1.1.1"], ("10.2.2.2", 0)),
    ("a port", ["X-Forwarded-For: 203.0.113.7:4711"], ("203.0.113.7", 4711)),
    ("a port that is none", ["X-Forwarded-For: 203.0.113.7:99999"], ("203.0.113.7", 0)),
    ("IPv6", ["X-Forwarded-For: 2001:DB8:0::7"], ("2001:db8::7", 0)),
    ("IPv6 with a port", ["X-Forwarded-For: [2001:db8::7]:4711"], ("2001:db8::7", 4711)),
    ("IPv4 written as IPv6", ["X-Forwarded-For: ::ffff:203.0.113.7"], ("203.0.113.7", 0)),
    ("a proxy written as IPv6", ["X-Forwarded-For: 203.0.113.7, ::ffff:10.1.1.1"], ("203.0.113.7", 0)),
    ("empty elements", ["X-Forwarded-For: 203.0.113.7, , ,"], ("203.0.113.7", 0)),
    ("unknown", ["X-Forwarded-For: 6.6.6.6, unknown"], PROXY),
    ("no address", ["X-Forwarded-For: 6.6.6.6, localhost"], PROXY),
    ("an address with a zone", ["X-Forwarded-For: fe80::1%eth0"], PROXY),
    ("unknown to a farther proxy", ["X-Forwarded-For: 6.6.6.6, unknown, 10.1.1.1"], ("10.1.1.1", 0)),
    ("nonsense of the client", ['X-Forwarded-For: <script>, ", 203.0.113.7'], ("203.0.113.7", 0)),
    ("Forwarded", ["Forwarded: for=203.0.113.7"], ("203.0.113.7", 0)),
    ("Forwarded with all", ['Forwarded: For="[2001:db8::7]:4711";by=_x;proto=https'], ("2001:db8::7", 4711)),
    ("Forwarded, a hidden port", ['Forwarded: for="203.0.113.7:_p"'], ("203.0.113.7", 0)),
    (
        "Forwarded of several",
        ["Forwarded: for=6.6.6.6, for=203.0.113.7", "Forwarded: for=10.1.1.1"],
        ("203.0.113.7", 0),
    ),
    ("Forwarded, unknown", ["Forwarded: for=6.6.6.6, for=unknown"], PROXY),
    ("Forwarded, hidden", ["Forwarded: for=6.6.6.6, for=_gazonk"], PROXY),
    ("Forwarded without for", ["Forwarded: for=6.6.6.6, proto=https"], PROXY),
    ("Forwarded, for twice", ["Forwarded: for=203.0.113.7;for=6.6.6.6"], PROXY),
    ("Forwarded, malformed", ["Forwarded: for=6.6.6.6, for=203.0.113.7;;=x"], PROXY),
    ("Forwarded, an open quote of the client", ['Forwarded: for="6.6.6.6, for=203.0.113.7'], ("203.0.113.7", 0)),
    ("Forwarded, a comma in quotes", ['Forwarded: for=203.0.113.7;host="a, for=6.6.6.6"'], ("203.0.113.7", 0)),
    ("Forwarded, quotes in quotes", [r'Forwarded: for=203.0.113.7;host="a, for=\"6.6.6.6\""'], ("203.0.113.7", 0)),
    ("both: X wins", ["Forwarded: for=6.6.6.6", "X-Forwarded-For: 203.0.113.7"], ("203.0.113.7", 0)),
    ("any of X wins", ["Forwarded: for=6.6.6.6", "X-Forwarded-Proto: https"], PROXY),
]


@pytest.mark.parametrize(("lines", "client"), [case[1:] for case in CLIENTS], ids=[case[0] for case in CLIENTS])
def test_the_client_is_the_first_from_the_right_that_is_no_proxy(lines, client):
    assert seen(*lines).peer == client


def test_one_kind_of_headers_alone_is_read_where_the_file_says_so():
    both = ("Forwarded: for=203.0.113.7", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.example")
    assert seen(*both, proxies=FORWARDED).peer == ("203.0.113.7", 0)
    assert seen(*both, proxies=FORWARDED).host == "app.internal"
    assert seen(*both, proxies=X_ONLY).peer == ("6.6.6.6", 0)
    assert seen(both[0], proxies=X_ONLY) is None
    assert seen(both[1], proxies=FORWARDED) is None
    assert seen() is None


@pytest.mark.parametrize(
    "peer", [("203.0.113.1", 1), ("11.0.0.1", 1), ("::1", 1), ("fe80::1%lo", 1), ("no address", 1)]
)
def test_whoever_is_no_proxy_says_nothing(peer):
    assert seen("X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", peer=peer) is None


def test_the_other_end_of_a_unix_socket_is_a_proxy_only_if_it_is_listed():
    assert seen("X-Forwarded-For: 203.0.113.7", peer=("", 0)).peer == ("203.0.113.7", 0)
    assert seen("X-Forwarded-For: 203.0.113.7", peer=("", 0), proxies=X_ONLY) is None


def test_a_proxy_that_connects_by_ipv6_to_ipv4_is_known():
    assert seen("X-Forwarded-For: 203.0.113.7", peer=("::ffff:10.0.0.1", 1)).peer == ("203.0.113.7", 0)


VIEWS = [
    ("nothing", ["X-Forwarded-For: 203.0.113.7"], (None, "app.internal", None)),
    (
        "scheme and host",
        ["X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: chat.example"],
        ("https", "chat.example", None),
    ),
    ("a port in the host", ["X-Forwarded-Host: chat.example:8443"], (None, "chat.example:8443", 8443)),
    ("a port of its own", ["X-Forwarded-Port: 8443"], (None, "app.internal:8443", 8443)),
    ("the default port", ["X-Forwarded-Proto: https", "X-Forwarded-Port: 443"], ("https", "app.internal", 443)),
    (
        "the last values",
        ["X-Forwarded-Proto: https, http", "X-Forwarded-Host: evil.example, a.example"],
        ("http", "a.example", None),
    ),
    ("wss", ["X-Forwarded-Proto: wss"], ("https", "app.internal", None)),
    ("no scheme", ["X-Forwarded-Proto: javascript"], (None, "app.internal", None)),
    ("no host", ["X-Forwarded-Host: a b/c"], (None, "app.internal", None)),
    ("no port", ["X-Forwarded-Port: ٣"], (None, "app.internal", None)),
    ("port 0", ["X-Forwarded-Port: 0"], (None, "app.internal", None)),
    ("IPv6", ["X-Forwarded-Host: [2001:db8::1]", "X-Forwarded-Port: 81"], (None, "[2001:db8::1]:81", 81)),
    (
        "of the element of the client",
        [
            "Forwarded: for=6.6.6.6;host=evil.example",
            'Forwarded: for=203.0.113.7;host="a.example:81";proto=https, for=10.1.1.1;host=b',
        ],
        ("https", "a.example:81", 81),
    ),
]


@pytest.mark.parametrize(("lines", "view"), [case[1:] for case in VIEWS], ids=[case[0] for case in VIEWS])
def test_scheme_and_host_are_those_that_the_client_requested(lines, view):
    found = seen(*lines)
    assert (found.scheme, found.host, found.port) == view


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
OUTSIDE = ADDRESSES.filter(
    lambda address: not any(getattr(address, "ipv4_mapped", None) or address in network for network in INSIDE.networks)
)


def written(address, port=None):
    text = f"[{address}]" if address.version == 6 and port is not None else str(address)
    return text if port is None else f"{text}:{port}"


@given(OUTSIDE, st.lists(st.sampled_from(["10.1.1.1", "10.2.2.2", "fd00::1"]), max_size=5), st.text(max_size=80))
def test_nothing_that_a_client_sends_changes_who_it_is(client, hops, own):
    own = "".join(letter for letter in own if letter.isprintable())
    chain = ", ".join((own, written(client), *hops))
    assert seen(f"X-Forwarded-For: {chain}").peer == (str(client), 0)
    quoted = ", ".join(
        [own, *(f'for="{written(each, 0)}"' if ":" in str(each) else f"for={each}" for each in (client,))]
    )
    assert seen(f"Forwarded: {quoted}").peer == (str(client), 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]
            ),
            st.text(max_size=60),
        ),
        max_size=6,
    )
)
def test_nothing_in_the_headers_makes_reading_them_fail(lines):
    view = public_view(INSIDE, PROXY, CIMultiDict(lines))
    assert (view is None) == (not lines)
    if view is None:
        return
    assert view.scheme in {None, "http", "https"}
    assert view.peer == PROXY or read_node(view.peer[0]) is not None
    assert 0 <= view.peer[1] <= 65_535


def test_the_length_of_the_list_does_not_matter():
    farthest = ", ".join(["10.1.1.1"] * 100_000)
    assert seen(f"X-Forwarded-For: 6.6.6.6, {farthest}").peer == ("10.1.1.1", 0)
    assert seen(f"Forwarded: for=6.6.6.6{', for=10.1.1.1' * 100_000}").peer == ("10.1.1.1", 0)
    assert seen("Forwarded: for=6.6.6.6, " + '"' * 100_000).peer == PROXY
    assert seen("X-Forwarded-For: " + "1" * 100_000).peer == PROXY

"""Ports that are bound, and what is said of those that cannot be."""

import socket

import pytest
from websockets.asyncio.client import connect

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.errors import ListenError
from signalpost.serving.ports import bind_ports
from signalpost.testing import serve


def test_an_address_that_is_a_secret_is_not_told(tmp_path):
    (tmp_path / "secrets.yaml").write_text("host: 192.0.2.77")
    text = "endpoints: [{name: web, address: !secret host, port: 0, protocol: http}]"
    config = parse_config(text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    with pytest.raises(ListenError) as caught:
        bind_ports(config.endpoints, config.source)
    assert "routes.yaml:1: endpoint web: " in str(caught.value)
    assert "!secret host" in str(caught.value)
    assert "192.0.2.77" not in str(caught.value)  # of a network that is nobody's (RFC 5737)
    assert caught.value.__suppress_context__


@pytest.fixture
def known(monkeypatch):
    """Let names stand for addresses, as /etc/hosts would."""

    def know(**names):
        def look_up(host, port, **options):
            return [found for each in names.get(host, [host]) for found in real(each, port, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    real = socket.getaddrinfo
    return know


def bind(tmp_path, *, address, port=0, held=()):
    text = f"endpoints: [{{name: web, address: {address}, port: {port}, protocol: http}}]"
    config = parse_config(text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    return bind_ports(config.endpoints, config.source, held)


@pytest.fixture
def bound(tmp_path):
    """Bind an endpoint for the length of a test."""
    ports = []

    def make(address, **options):
        made = bind(tmp_path, address=address, **options)
        ports.extend(made)
        return made

    yield make
    for port in ports:
        port.sock.close()


def test_a_name_of_two_families_is_bound_at_both_with_one_port(known, bound):
    known(both=["::1", "127.0.0.1"])
    ports = bound("both")
    assert [port.sock.family for port in ports] == [socket.AF_INET6, socket.AF_INET]
    assert len({port.sock.getsockname()[1] for port in ports}) == 1
    assert all(port.loopback for port in ports)


def test_an_address_that_the_machine_does_not_have_is_left_out_unless_it_is_the_only_one(known, bound):
    known(some=["192.0.2.1", "127.0.0.1"], none=["192.0.2.1"])
    (port,) = bound("some")
    assert port.sock.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ListenError, match="this machine does not have that address"):
        bound("none")


def test_a_port_that_is_taken_at_one_of_the_addresses_is_a_mistake_and_nothing_stays_bound(
    known, bound, count_descriptors
):
    known(both=["::1", "127.0.0.1"])
    (taken,) = bound("127.0.0.1")
    before = count_descriptors()
    with pytest.raises(ListenError, match="in use"):
        bound("both", port=taken.sock.getsockname()[1])
    assert count_descriptors() == before


def test_a_reload_keeps_the_sockets_of_both_families(known, bound):
    known(both=["::1", "127.0.0.1"])
    before = bound("both")
    after = bound("both", held=before)
    assert [port.sock for port in after] == [port.sock for port in before]


async def test_clients_of_both_families_are_one_audience(known):
    known(both=["::1", "127.0.0.1"])
    async with serve("endpoints: [{name: live, address: both, port: 0, protocol: ws}]") as app:
        port = app.server.endpoints[0].port
        one, other = (connect(f"ws://{host}:{port}/", proxy=None) for host in ("[::1]", "127.0.0.1"))
        async with one as client, other as listener:
            await client.send('{"message": "hello"}')
            assert await listener.recv() == "hello"
        await app.reload()
        async with connect(f"ws://[::1]:{port}/", proxy=None):
            assert app.server.clients == 1

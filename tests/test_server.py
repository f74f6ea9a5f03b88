"""A server that cannot start says why in one line, and leaves nothing behind."""

import errno
import socket

import pytest
from sanic import Sanic

from signalpost.config.certificates import load_certificate
from signalpost.config.model import EndpointConfig, Scheme, TlsConfig
from signalpost.errors import ListenError, OperatorError, PluginError
from signalpost.server import Server
from signalpost.serving.ports import why_not
from signalpost.testing import load_app, serve

HOOKS = """
    from signalpost import hookimpl

    @hookimpl
    def startup(context):
        context.settings["log"].append("{name} started")
        {then}

    @hookimpl
    def shutdown(context):
        context.settings["log"].append("{name} shut down")
"""


@pytest.fixture
def make_server(tmp_path):
    """Make a server of an app whose plugins keep a log; return both. Where the app listens, nobody else does."""
    plans = []

    def make(text, **plugins):
        plans.append(load_app(text, tmp_path, plugins))
        log = []
        for plugin in plugins:
            dict.__setitem__(plans[-1].config.plugins.settings[plugin], "log", log)  # a plugin may not
        return Server(plans[-1]), log

    yield make
    for plan in plans:
        plan.registry.unload()


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def bind(port):
    """Listen where a server should no longer do."""
    socket.create_server(("127.0.0.1", port)).close()


def settings(*plugins):
    return f"plugins: {{settings: {{{', '.join(f'{name}: {{}}' for name in plugins)}}}}}"


async def test_two_names_of_one_address_on_one_port_are_told_of_each_other(make_server, port):
    server, _ = make_server(f"""
        endpoints:
          - {{name: first, address: 127.0.0.1, port: {port}, protocol: ws}}
          - {{name: second, address: localhost, port: {port}, protocol: ws}}
    """)
    with pytest.raises(ListenError) as caught:
        await server.start()
    assert f'the endpoint "first" ({server.plan.config.file}:3) has port {port} of 127.0.0.1' in str(caught.value)
    assert "and localhost means the same" in str(caught.value)


async def test_an_endpoint_that_cannot_listen_is_named_with_its_place_and_the_others_let_go(make_server, port):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = taken.getsockname()[1]
        server, _ = make_server(f"""
            endpoints:
              - {{name: web, address: 127.0.0.1, port: {port}, protocol: http}}
              - {{name: live, address: 127.0.0.1, port: {other}, protocol: ws}}
        """)
        with pytest.raises(ListenError) as caught:
            await server.start()
    place, _, text = str(caught.value).partition(": ")
    assert place.endswith("/routes.yaml:4")
    assert text.startswith(f"endpoint live: 127.0.0.1 port {other} is in use by another program: stop that one")
    bind(port)


async def test_an_address_that_this_machine_does_not_have_is_said_to_be_that(make_server):
    server, _ = make_server("endpoints: [{name: web, address: 192.0.2.1, port: 0, protocol: http}]")
    with pytest.raises(ListenError, match=r"endpoint web: 192\.0\.2\.1 port 0: this machine does not have that add"):
        await server.start()


@pytest.mark.parametrize(
    ("number", "port", "text"),
    [
        (errno.EACCES, 80, "* port 80 is privileged: choose a port above 1023, or let the system allow it"),
        (errno.EPERM, 443, "* port 443 is privileged: choose a port above 1023, or let the system allow it"),
        (errno.EACCES, 8080, "* port 8080 cannot be used: permission denied"),
        (errno.EAFNOSUPPORT, 8080, "* port 8080 cannot be used: address family not supported by protocol"),
    ],
)
def test_each_reason_not_to_listen_has_its_line(number, port, text):
    endpoint = EndpointConfig(("endpoints", 0), "web", "*", port, Scheme.HTTP)
    assert why_not(endpoint, PermissionError(number, socket.os.strerror(number))) == text


async def test_a_certificate_that_went_bad_since_it_was_checked_is_named_with_its_place(make_server, tmp_path, port):
    made = load_certificate(TlsConfig(self_signed=True), ("127.0.0.1",))
    (tmp_path / "our.pem").write_bytes(made.chain + made.key)
    text = f"""
        endpoints:
          - {{name: web, address: 127.0.0.1, port: {port}, protocol: http}}
          - {{name: live, address: 127.0.0.1, port: 0, protocol: wss, certificate: our.pem}}
        {settings("one")}
    """
    server, log = make_server(text, one=HOOKS.format(name="one", then=""))
    apps = dict(Sanic._app_registry)
    (tmp_path / "our.pem").unlink()
    with pytest.raises(ListenError, match=r"routes\.yaml:4: endpoint live: .*our\.pem"):
        await server.start()
    assert log == []  # what was not started is not shut down
    assert Sanic._app_registry == apps
    bind(port)


async def test_a_template_that_went_bad_since_it_was_checked_leaves_nothing_behind(make_server, tmp_path, port):
    (tmp_path / "page.html").write_text("fine")
    text = f"""
        endpoints:
          - {{name: web, address: 127.0.0.1, port: {port}, protocol: http}}
          - {{name: live, address: 127.0.0.1, port: 0, protocol: ws}}
        routes: [{{path: /, view: page.html}}]
    """
    server, _ = make_server(text)
    apps = dict(Sanic._app_registry)
    (tmp_path / "page.html").write_text("{% if %}")
    with pytest.raises(OperatorError, match=r"^page\.html:1: "):
        await server.start()
    assert Sanic._app_registry == apps
    bind(port)


async def test_whatever_fails_last_what_was_started_is_shut_down_and_all_is_released(make_server, port, monkeypatch):
    text = f"""
        endpoints:
          - {{name: web, address: 127.0.0.1, port: {port}, protocol: http}}
          - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
        schedules: [{{name: s, cron: "0 0 * * *", broadcast: {{value: x}}}}]
        {settings("one", "two")}
    """
    plugins = {name: HOOKS.format(name=name, then="") for name in ("one", "two")}
    server, log = make_server(text, **plugins)
    apps = dict(Sanic._app_registry)
    monkeypatch.setenv("TZ", "Nowhere/Land")
    with pytest.raises(OperatorError, match="TZ"):
        await server.start()
    assert log == ["one started", "two started", "two shut down", "one shut down"]
    assert Sanic._app_registry == apps
    bind(port)


async def test_a_plugin_that_was_not_reached_is_not_shut_down(make_server, port):
    text = f"""
        endpoints: [{{name: web, address: 127.0.0.1, port: {port}, protocol: http}}]
        {settings("one", "two", "zoo")}
    """
    plugins = {name: HOOKS.format(name=name, then="") for name in ("one", "two", "zoo")}
    plugins["two"] = HOOKS.format(name="two", then="raise KeyboardInterrupt")
    server, log = make_server(text, **plugins)
    with pytest.raises(PluginError, match=r"plugin two .*: its startup failed: KeyboardInterrupt"):
        await server.start()
    assert log == ["one started", "two started", "two shut down", "one shut down"]
    bind(port)


async def test_a_plugin_that_fails_to_start_ends_the_start_and_leaves_nothing_behind(make_server, port):
    text = f"""
        endpoints: [{{name: web, address: 127.0.0.1, port: {port}, protocol: http}}]
        {settings("one", "two")}
    """
    plugins = {"one": HOOKS.format(name="one", then=""), "two": HOOKS.format(name="two", then="1 / 0")}
    server, log = make_server(text, **plugins)
    with pytest.raises(PluginError, match=r"plugin two \(.*two\.py:\d+\): its startup failed: ZeroDivisionError"):
        await server.start()
    assert log == ["one started", "two started", "two shut down", "one shut down"]
    bind(port)


async def test_a_server_that_has_stopped_holds_no_descriptor_any_more(count_descriptors):
    text = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]"
    counts = []
    for _ in range(3):
        async with serve(text) as app, app.connect("/") as client:
            await client.send("hello")
            assert await client.receive() == "hello"
        counts.append(count_descriptors())
    # The first may have left what is made once a process.
    assert counts[1] == counts[2]

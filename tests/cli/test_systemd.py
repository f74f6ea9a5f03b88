"""`signalpost run` as a unit of systemd: what it says of itself, and the sockets that it is given."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import connect

from signalpost.errors import ListenError
from signalpost.systemd import LONGEST_STATUS, Notifier, PassedSockets

ENDPOINTS = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: PORT, protocol: http}
  - {name: live, address: 127.0.0.1, port: PORT, protocol: ws}
"""
PAGE = "routes:\n  - {path: /, file: page.html}\n"
MISTAKE = "routes:\n  - {path: /, file: gone.html}\n"
NO_WATCH = ("run", "--no-watch")


class FakeSystemd:
    """The end of the protocol that systemd has: a datagram socket."""

    def __init__(self, address):
        self.address = address.replace("\0", "@")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(address)
        self._sock.settimeout(30)

    def close(self):
        self._sock.close()

    def hear(self, *, pings=False):
        """Return the next message as a mapping; those of the watchdog only if asked for."""
        while True:
            message = dict(line.split("=", 1) for line in self._sock.recv(4096).decode().splitlines())
            if pings or "WATCHDOG" not in message:
                return message


@pytest.fixture
def systemd(tmp_path):
    """Listen as systemd does."""
    with closing(FakeSystemd(str(tmp_path / "notify"))) as fake:
        yield fake


@pytest.fixture
def write_app(folder):
    """Write an app with a page, and its endpoints at a port that the system chooses, or at another one."""

    def write(text=PAGE, port=0, endpoints=ENDPOINTS):
        (folder / "page.html").write_text("here")
        (folder / "routes.yaml").write_text(endpoints.replace("PORT", str(port)) + text)

    return write


def page(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


def url_of(message):
    """Return where the server says that its first endpoint is."""
    return re.search(r"http://[^,]*", message["STATUS"])[0]


class TestNotify:
    def test_systemd_is_told_where_the_server_answers_once_it_does(self, write_app, process, systemd):
        write_app()
        process(*NO_WATCH, NOTIFY_SOCKET=systemd.address)
        ready = systemd.hear()
        assert ready.keys() == {"READY", "STATUS"}
        assert re.fullmatch(r"serving http://127\.0\.0\.1:\d+, ws://127\.0\.0\.1:\d+", ready["STATUS"])
        assert page(url_of(ready)) == "here"

    def test_a_reload_begins_by_the_clock_of_systemd_and_ends_with_what_it_changed(self, write_app, process, systemd):
        write_app()
        server = process(*NO_WATCH, NOTIFY_SOCKET=systemd.address)
        systemd.hear()
        write_app(PAGE + "  - {path: /more, file: page.html}\n")
        asked = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        server.send_signal(signal.SIGHUP)
        begun, ended = systemd.hear(), systemd.hear()
        assert begun["RELOADING"] == "1"
        assert asked <= int(begun["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert ended == {"READY": "1", "STATUS": "reloaded: +1 route"}

    @pytest.mark.parametrize("by", ["signal", "save"])
    def test_a_reload_that_fails_leaves_the_unit_running_and_the_status_says_where_the_mistake_is(
        self, write_app, process, systemd, by
    ):
        write_app()
        options = NO_WATCH if by == "signal" else ("run",)
        server = process(*options, NOTIFY_SOCKET=systemd.address)
        url = url_of(systemd.hear())
        write_app(MISTAKE)
        if by == "signal":
            server.send_signal(signal.SIGHUP)
        assert systemd.hear()["RELOADING"] == "1"
        ended = systemd.hear()
        assert ended["READY"] == "1"
        assert re.match(r"not reloaded: the app goes on as it was: routes\.yaml:5:21: ", ended["STATUS"])
        assert page(url) == "here"

    @pytest.mark.slow
    def test_a_reload_whose_port_is_taken_is_told_too(self, write_app, process, systemd):
        write_app()
        server = process(*NO_WATCH, NOTIFY_SOCKET=systemd.address)
        url = url_of(systemd.hear())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            write_app(port=taken.getsockname()[1])
            server.send_signal(signal.SIGHUP)
            systemd.hear()
            assert re.match(r"not reloaded: .*routes\.yaml:2: .* is in use", systemd.hear()["STATUS"])
        assert page(url) == "here"

    def test_a_stop_is_told_with_the_time_that_it_may_take(self, write_app, process, systemd):
        write_app(PAGE + "limits: {drain: 100s}\n")
        server = process(*NO_WATCH, NOTIFY_SOCKET=systemd.address)
        systemd.hear()
        server.terminate()
        told = systemd.hear()
        assert told.keys() == {"STOPPING", "STATUS", "EXTEND_TIMEOUT_USEC"}
        assert int(told["EXTEND_TIMEOUT_USEC"]) > 100e6
        assert server.wait() == 0

    def test_a_stop_that_takes_long_says_what_it_waits_for(self, write_app, process, systemd):
        steps = "[{broadcast: {value: begun}}, {wait: 60s}, {respond: {json: 1}}]"
        write_app(f"routes:\n  - {{path: /slow, method: GET, do: {steps}}}\n")
        server = process(*NO_WATCH, NOTIFY_SOCKET=systemd.address)
        urls = re.search(r"(http://\S+), (ws://\S+)", systemd.hear()["STATUS"])
        port = int(urls[1].rpartition(":")[2])
        with connect(f"{urls[2]}/any", proxy=None) as listener, socket.create_connection(("127.0.0.1", port)) as asker:
            asker.sendall(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert "begun" in listener.recv()
            server.terminate()
            systemd.hear()
            told = systemd.hear()["STATUS"]
        assert re.match(r"stopping: waits 30 s at most for .* on /slow \(1 request\)", told)

    def test_the_watchdog_is_pinged_again_and_again(self, write_app, process, systemd):
        write_app()
        process(*NO_WATCH, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="100000")
        systemd.hear()
        for _ in range(3):
            assert systemd.hear(pings=True) == {"WATCHDOG": "1"}

    def test_the_watchdog_of_another_process_is_not_pinged(self, write_app, process, systemd):
        write_app()
        server = process(*NO_WATCH, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="100000", WATCHDOG_PID="1")
        systemd.hear()
        server.terminate()
        assert "STOPPING" in systemd.hear(pings=True)

    def test_a_server_that_cannot_tell_systemd_serves_all_the_same_and_says_so_once(self, write_app, process):
        write_app()
        server = process(*NO_WATCH, NOTIFY_SOCKET="/nowhere/notify")
        url = server.stdout.readline().split()[1]
        assert page(url) == "here"
        server.terminate()
        told = server.communicate()[1]
        assert told.count("systemd cannot be told what this service does") == 1
        assert server.returncode == 0

    @given(text=st.text(st.characters()))
    def test_no_status_is_more_than_one_line_of_text_that_systemd_takes(self, tmp_path_factory, text):
        with closing(FakeSystemd(str(tmp_path_factory.mktemp("systemd") / "notify"))) as fake:
            Notifier(fake.address).ready(text)
            message = fake._sock.recv(10_000)
        assert len(message) < 4096
        first, status = message.decode().split("\n")
        assert first == "READY=1"
        assert status.startswith("STATUS=")
        assert status.isprintable()
        assert len(status) <= len("STATUS=") + LONGEST_STATUS

    def test_systemd_may_listen_at_an_abstract_address(self):
        with closing(FakeSystemd(f"\0signalpost-test-{os.getpid()}")) as fake:
            Notifier(fake.address).status("here")
            assert fake.hear() == {"STATUS": "here"}

    def test_no_child_of_the_server_finds_the_variables(self):
        told = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "LISTEN_PID": "1"}
        environment = told | {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "LISTEN_PIDFDID": "1", "PATH": "/bin"}
        Notifier.from_environment(environment)
        PassedSockets.from_environment(environment)
        assert environment == {"PATH": "/bin"}

    def test_without_systemd_nothing_is_said(self, write_app, process):
        write_app()
        server = process(*NO_WATCH)
        assert page(server.stdout.readline().split()[1]) == "here"
        server.terminate()
        assert server.communicate()[1] == ""


@pytest.fixture
def activate(folder):
    """Start the server with sockets, as systemd does: ``activate(web=[sock])``; return the process."""
    started = []

    def start(names=None, options=NO_WATCH, *, pid="$$", **passed):
        socks = [sock for each in passed.values() for sock in each]
        named = ":".join(name for name, each in passed.items() for _ in each)
        # Numbers that none of those to be passed on has, so that none is overwritten.
        moved = [os.dup2(sock.fileno(), 100 + index) for index, sock in enumerate(socks)]
        redirected = " ".join(f"{3 + index}<&{number}" for index, number in enumerate(moved))
        variables = f"LISTEN_PID={pid} LISTEN_FDS={len(socks)} LISTEN_FDNAMES={named if names is None else names}"
        command = f'export {variables}; exec "$@" {redirected}'
        started.append(
            subprocess.Popen(
                ["bash", "-c", command, "bash", sys.executable, "-m", "signalpost", *options],
                cwd=folder,
                pass_fds=moved,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        for number in moved:
            os.close(number)
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()
        each.stdout.close()
        each.stderr.close()


@pytest.fixture
def listening():
    """Listen somewhere, as systemd does before it starts a service."""
    made = []

    def listen(address="127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made.append(socket.create_server((address, 0), family=family))
        return made[-1], made[-1].getsockname()[1]

    yield listen
    for sock in made:
        sock.close()


def lines_of(server):
    """Return what the server prints until it serves."""
    found = []
    for line in server.stdout:
        found.append(line.rstrip("\n"))
        if "Ctrl-C" in line:
            return found
    raise AssertionError(server.stderr.read())


class TestSocketActivation:
    def test_an_endpoint_is_served_at_the_socket_of_its_name_and_nowhere_else(self, write_app, activate, listening):
        sock, port = listening()
        with socket.create_server(("127.0.0.1", 0)) as taken:  # what the file says could not even be bound
            write_app(port=taken.getsockname()[1])
            assert lines_of(activate(web=[sock]))[0] == f"web   http://127.0.0.1:{port}"
            assert page(f"http://127.0.0.1:{port}") == "here"

    def test_an_endpoint_that_shares_the_port_shares_the_socket(self, write_app, activate, listening):
        sock, port = listening()
        write_app("signals:\n  - {path: /echo, rebroadcast: sender}\n", port=8090)
        lines_of(activate(live=[sock]))
        with connect(f"ws://127.0.0.1:{port}/echo", proxy=None) as client:
            client.send(json.dumps({"message": "hi"}))
            assert "hi" in client.recv()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            page(f"http://127.0.0.1:{port}/nothing")

    @pytest.mark.slow
    def test_several_sockets_of_one_name_are_all_served(self, write_app, activate, listening):
        (four, port), (six, port6) = listening(), listening("::1")
        write_app(port=8090)
        lines_of(activate(web=[four, six]))
        assert [page(f"http://127.0.0.1:{port}"), page(f"http://[::1]:{port6}")] == ["here", "here"]

    @pytest.mark.slow
    def test_endpoints_of_different_ports_have_sockets_of_their_own(self, write_app, activate, listening):
        (first, port), (second, port2) = listening(), listening()
        write_app(endpoints=ENDPOINTS.replace("PORT", "8090", 1).replace("PORT", "8091"))
        lines = lines_of(activate(live=[second], web=[first]))
        assert lines[:2] == [f"web   http://127.0.0.1:{port}", f"live  ws://127.0.0.1:{port2}"]

    def test_a_unix_socket_is_served_and_its_file_stays(self, write_app, activate, folder):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(str(folder / "web.sock"))
            sock.listen()
            write_app(endpoints="endpoints:\n  - {name: web, address: 'unix:web.sock', protocol: http}\n")
            server = activate(web=[sock])
            lines_of(server)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(str(folder / "web.sock"))
                client.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
                assert client.makefile().readline().split()[1] == "200"
            server.terminate()
            assert server.wait() == 0
        assert (folder / "web.sock").is_socket()

    def test_who_connects_between_two_servers_is_answered_by_the_second(self, write_app, activate, listening):
        sock, port = listening()
        write_app(port=8090)
        first = activate(web=[sock])
        lines_of(first)
        first.terminate()
        assert first.wait() == 0
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            lines_of(activate(web=[sock]))
            assert client.makefile().readline().split()[1] == "200"

    def test_a_reload_keeps_the_socket_whatever_the_file_says_of_its_address(
        self, write_app, activate, listening, systemd, monkeypatch
    ):
        sock, port = listening()
        write_app(port=8090)
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        server = activate(web=[sock])
        systemd.hear()
        write_app(PAGE + "  - {path: /more, file: page.html}\n", port=8095)
        server.send_signal(signal.SIGHUP)
        systemd.hear()
        assert systemd.hear()["STATUS"].startswith("reloaded: ")
        assert page(f"http://127.0.0.1:{port}/more") == "here"

    @pytest.mark.slow
    def test_endpoints_that_a_reload_parts_take_each_its_own_socket(
        self, write_app, activate, listening, systemd, monkeypatch
    ):
        (first, port), (second, port2) = listening(), listening()
        write_app(port=8090)
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        server = activate(web=[first], live=[second])
        systemd.hear()
        assert page(f"http://127.0.0.1:{port2}") == "here"
        write_app(endpoints=ENDPOINTS.replace("PORT", "8090", 1).replace("PORT", "8091"))
        server.send_signal(signal.SIGHUP)
        systemd.hear()
        assert systemd.hear()["STATUS"].startswith("reloaded: ")
        for _ in range(8):  # more than listeners, so that each would have had one
            assert page(f"http://127.0.0.1:{port}") == "here"
            with pytest.raises(urllib.error.HTTPError):
                page(f"http://127.0.0.1:{port2}")

    @pytest.mark.slow
    def test_a_reload_that_leaves_a_socket_without_an_endpoint_is_refused(
        self, write_app, activate, listening, systemd, monkeypatch
    ):
        sock, port = listening()
        write_app(port=8090)
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        server = activate(web=[sock])
        systemd.hear()
        write_app(port=8090, endpoints=ENDPOINTS.replace("web", "pages"))
        server.send_signal(signal.SIGHUP)
        systemd.hear()
        assert 'a socket named "web", and no endpoint has this name' in systemd.hear()["STATUS"]
        assert page(f"http://127.0.0.1:{port}") == "here"

    def test_a_name_that_no_endpoint_has_is_a_problem_that_says_what_to_write(self, write_app, activate, listening):
        write_app()
        server = activate(names="app.socket", web=[listening()[0]])
        assert server.wait() == 1
        assert server.stderr.read() == (
            'signalpost: routes.yaml:1: systemd passes a socket named "app.socket", and no endpoint has this name '
            "(there are: web, live): write FileDescriptorName= with one of these in the unit of the socket\n"
        )

    @pytest.mark.slow
    def test_a_socket_that_is_a_connection_is_a_problem(self, write_app, activate):
        write_app()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            server = activate(web=[theirs])
            assert server.wait() == 1
        assert "which does not listen: write Accept=no" in server.stderr.read()

    @pytest.mark.slow
    def test_a_unix_socket_for_an_endpoint_with_a_port_is_a_problem(self, write_app, activate, tmp_path):
        write_app()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(str(tmp_path / "a.sock"))
            sock.listen()
            server = activate(web=[sock])
            assert server.wait() == 1
        assert server.stderr.read() == (
            "signalpost: routes.yaml:2: endpoint web: systemd passes a Unix socket, and it is one with an address "
            "and port: change its address, or ListenStream=\n"
        )

    @pytest.mark.slow
    def test_sockets_for_another_process_are_left_alone(self, write_app, activate, listening):
        sock, port = listening()
        write_app()
        assert not lines_of(activate(web=[sock], pid="1"))[0].endswith(f":{port}")

    def test_a_socket_that_was_given_up_can_be_taken_again(self, monkeypatch, listening):
        sock, port = listening()
        monkeypatch.setattr("signalpost.systemd.FIRST_DESCRIPTOR", sock.fileno())
        environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        passed = PassedSockets.from_environment(environment)
        sock.detach()
        for _ in range(2):
            (taken,) = passed.take("web", unix=False)
            assert taken.getsockname()[1] == port
            taken.close()
        passed.close()

    @pytest.mark.parametrize(
        ("make", "why"),
        [
            (lambda path: os.open(path / "file", os.O_CREAT | os.O_RDWR), "which is no socket"),
            (lambda _: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(), "which is no stream socket"),
        ],
    )
    def test_a_descriptor_that_cannot_be_served_is_refused(self, monkeypatch, tmp_path, make, why):
        descriptor = make(Path(tmp_path))
        try:
            monkeypatch.setattr("signalpost.systemd.FIRST_DESCRIPTOR", descriptor)
            environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
            with pytest.raises(ListenError, match=why):
                PassedSockets.from_environment(environment)
        finally:
            with suppress(OSError):  # it may have been closed
                os.close(descriptor)

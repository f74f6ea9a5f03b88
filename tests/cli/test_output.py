"""What a person at a terminal asks for and is told: hints, options of `run`, and what a stop waits for."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

HEAVY = {"asyncio", "sanic", "uvloop", "jsonschema", "jinja2", "rich", "cryptography", "apscheduler", "yaml", "orjson"}
ASK = """
import sys
from signalpost.cli import cli
cli(sys.argv[1:], prog_name="signalpost", standalone_mode=False)
print("imported:", *sys.modules)
"""


def imported_by(*arguments):
    """Give a command in a fresh Python; return what it printed and the modules that it imported."""
    asked = subprocess.run([sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=True)
    said, _, modules = asked.stdout.partition("imported: ")
    return said, set(modules.split())


class TestWhatIsImported:
    @pytest.mark.parametrize("option", ["--version", "-V"])
    def test_the_version_takes_hardly_more_than_python_and_click(self, option):
        said, modules = imported_by(option)
        assert re.fullmatch(r"signalpost \d+\.\d+\.\d+\n", said)
        assert not modules & HEAVY
        _, bare = imported_by("--help")
        ours = [name for name in modules if name.startswith("signalpost")]
        assert len(ours) <= 12
        assert len(modules) <= 200
        assert modules <= bare | modules

    @pytest.mark.parametrize("command", ["run", "check", "new", "plan", "try", "schema"])
    def test_the_help_of_a_command_takes_hardly_more_than_python_and_click(self, command):
        said, modules = imported_by(command, "--help")
        assert said.startswith(f"Usage: signalpost {command}")
        assert not modules & HEAVY

    def test_every_public_name_is_imported_when_it_is_asked_for(self):
        ask = "import signalpost; [getattr(signalpost, each) for each in signalpost.__all__]; print('all')"
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("all\n", "")

    def test_a_name_that_is_not_there_is_an_attribute_error(self):
        import signalpost

        with pytest.raises(AttributeError, match="has no attribute 'Sinal'"):
            signalpost.Sinal  # noqa: B018
        assert set(signalpost.__all__) <= set(dir(signalpost))


class TestHints:
    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            ("serve", "run"),
            ("start", "run"),
            ("RUN", "run"),
            ("init", "new"),
            ("create", "new"),
            ("validate", "check"),
            ("chek", "check"),
            ("help", "--help"),
            ("version", "--version"),
            ("routes.yml", "run routes.yml"),
            ("apps/chat.yaml", "run apps/chat.yaml"),
        ],
    )
    def test_what_other_programs_call_a_command_is_understood(self, signalpost, said, meant):
        result = signalpost(said)
        assert result.exit_code == 2
        assert (
            f'no command "{said}"; did you mean "{meant}"? (known: asyncapi, check, clients, completion,'
            in result.stderr
        )

    def test_a_word_that_means_nothing_has_no_hint(self, signalpost):
        assert 'no command "xyzzy" (known: ' in signalpost("xyzzy").stderr

    @pytest.mark.parametrize("name", ["routes.yml", "route.yaml", "Routes.yaml", "routes.yaml.yaml"])
    @pytest.mark.parametrize("command", ["run", "check", "routes"])
    def test_a_file_of_nearly_the_name_is_named(self, signalpost, folder, name, command):
        (folder / name).touch()
        (folder / "docker-compose.yml").touch()
        result = signalpost(command)
        assert result.exit_code == 1
        expected = f'routes.yaml: no such file; there is "{name}": name that one, or call it "routes.yaml"\n'
        assert expected in result.output

    def test_no_other_file_is_named(self, signalpost, folder):
        (folder / "docker-compose.yml").touch()
        assert "no such file; `signalpost new FOLDER` makes an app with one" in signalpost("run").stderr

    def test_a_file_in_another_folder_is_looked_for_there(self, signalpost, folder):
        (folder / "app").mkdir()
        (folder / "app" / "routes.yml").touch()
        assert 'app/routes.yaml: no such file; there is "routes.yml"' in signalpost("run", "app/routes.yaml").stderr


SHARED = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
      - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
      - {name: more, address: 127.0.0.1, port: 8090, protocol: ws}
      - {name: any, address: 127.0.0.1, port: 0, protocol: ws}
    routes: [{path: /, broadcast: {value: x}, method: POST}]
"""


def free_pair():
    """Return a port that nobody listens on, whose next one is free, too."""
    import socket

    while True:
        with socket.create_server(("127.0.0.1", 0)) as one:
            port = one.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except (OSError, OverflowError):
                continue
            return port


class TestWhereItListens:
    @pytest.mark.slow
    def test_a_port_moves_all_endpoints_and_those_that_share_one_still_do(self, write, run):
        write(SHARED)
        port = free_pair()
        server = run("--port", str(port))
        urls = server.urls
        assert urls["web"] == f"http://127.0.0.1:{port}"
        assert urls["more"] == f"ws://127.0.0.1:{port}"
        assert urls["live"] == f"ws://127.0.0.1:{port + 1}"
        assert urls["any"] not in (urls["more"], urls["live"])
        assert server.end(signal.SIGTERM) == (0, "", "")

    def test_port_0_lets_the_system_choose_each(self, write, run):
        write(SHARED)
        ports = [url.rpartition(":")[2] for url in run("--port", "0").urls.values()]
        assert "8090" not in ports
        assert "8091" not in ports

    @pytest.mark.slow
    def test_a_host_moves_all_endpoints_and_stays_over_a_reload(self, write, run):
        write("signals: [{path: /a}]")
        server = run("--host", "127.0.0.2")
        assert {url.rpartition(":")[0] for url in server.urls.values()} == {"http://127.0.0.2", "ws://127.0.0.2"}
        write("signals: [{path: /a}, {path: /b}]")
        assert server.process.stdout.readline() == "reloaded: +1 signal\n"
        with connect(server.urls["live"] + "/b", proxy=None) as client:
            client.send('{"message": "hello"}')
            assert client.recv() == "hello"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--port", "65535"), '--port 65535: the endpoint "live" would have port 65536, as far from "web"'),
            (("--port", "65536"), "65536 is not in the range 0<=x<=65535"),
            (("--port", "web"), "'web' is not a valid integer range"),
            (("--host", "http://localhost"), "is a URL; an address is only its host"),
            (("--host", "localhost:80"), "holds a port"),
        ],
    )
    def test_what_cannot_be_is_said_before_anything_starts(self, write, signalpost, arguments, said):
        write(SHARED)
        result = signalpost("run", *arguments)
        assert result.exit_code in (1, 2)
        assert said in result.stderr

    def test_two_endpoints_of_one_kind_cannot_come_to_one_host(self, write, signalpost):
        write("""
            endpoints:
              - {name: four, address: 127.0.0.1, port: 8090, protocol: http}
              - {name: six, address: "::1", port: 8090, protocol: http}
        """)
        result = signalpost("run", "--host", "*")
        assert result.exit_code == 1
        assert result.stderr == (
            'signalpost: --host *: the endpoints "four" and "six" would both have port 8090: '
            "only an http and a ws endpoint can share one, not http and http\n"
        )

    @pytest.mark.slow
    @pytest.mark.parametrize("asked", [("--host", "127.0.0.2"), ("--port", "0")])
    def test_an_endpoint_at_a_unix_socket_stays_there(self, write, run, folder, asked):
        write("""
            endpoints:
              - {name: proxied, address: "unix:app.sock", protocol: http}
              - {name: live, address: "unix:app.sock", protocol: ws}
              - {name: web, address: 127.0.0.1, port: 0, protocol: http}
        """)
        server = run(*asked)
        assert server.urls["proxied"] == f"http://unix:{folder}/app.sock"
        assert server.urls["live"] == f"ws://unix:{folder}/app.sock"
        assert server.urls["web"].startswith(f"http://{asked[1] if asked[0] == '--host' else '127.0.0.1'}:")
        assert server.end(signal.SIGTERM) == (0, "", "")

    @pytest.mark.parametrize("asked", [("--host", "127.0.0.2"), ("--port", "8090")])
    def test_an_app_at_a_unix_socket_alone_has_no_host_and_no_port(self, write, signalpost, asked):
        write('endpoints: [{name: web, address: "unix:app.sock", protocol: http}]')
        result = signalpost("run", *asked)
        assert result.exit_code == 1
        assert result.stderr == (
            f"signalpost: {' '.join(asked)}: every endpoint of routes.yaml is a Unix socket, which has no host "
            "and no port: give one an address and a port there\n"
        )


class TestOpen:
    def browser(self, folder):
        """Make a browser that asks for the page that it is told to show, and says so to whoever reads its pipe."""
        pipe, program = folder / "pipe", folder / "browser"
        os.mkfifo(pipe)
        program.write_text(f'#!/bin/sh\necho "$1" > "{pipe}"\n')
        program.chmod(0o755)
        return program, pipe

    @pytest.mark.slow
    @pytest.mark.parametrize(("host", "shown"), [("127.0.0.2", "127.0.0.2"), ("::", "localhost"), ("*", "localhost")])
    def test_the_first_page_is_opened_once_it_is_served(self, write, run, folder, host, shown):
        write("routes: [{path: /, do: [{respond: {text: here}}], method: GET}]")
        program, pipe = self.browser(folder)
        server = run("--open", "--host", host, BROWSER=str(program))
        url = pipe.read_text().strip()
        assert url == f"http://{shown}:{server.urls['web'].rpartition(':')[2]}/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(url).read() == b"here"

    @pytest.mark.slow
    def test_an_app_without_pages_says_so_and_runs(self, write, run):
        write("endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]")
        server = run("--open", BROWSER="/bin/true")
        code, out, err = server.end(signal.SIGTERM)
        assert (code, err) == (0, "")
        assert out == "note: --open: there is no http or https endpoint, so there is no page\n"

    @pytest.mark.slow
    def test_pages_at_a_unix_socket_are_opened_by_nobody(self, write, run):
        write("""
            endpoints:
              - {name: web, address: "unix:app.sock", protocol: http}
              - {name: live, address: "unix:app.sock", protocol: ws}
        """)
        server = run("--open", BROWSER="/bin/false")
        code, out, err = server.end(signal.SIGTERM)
        assert (code, err) == (0, "")
        assert out == (
            "note: --open: pages are at a Unix socket only, which no browser asks: "
            "open the address of the proxy in front of it\n"
        )

    @pytest.mark.slow
    def test_the_first_page_that_has_a_port_is_opened(self, write, run, folder):
        write("""
            endpoints:
              - {name: proxied, address: "unix:app.sock", protocol: http}
              - {name: web, address: 127.0.0.1, port: 0, protocol: http}
        """)
        program, pipe = self.browser(folder)
        server = run("--open", BROWSER=str(program))
        assert pipe.read_text().strip() == f"{server.urls['web']}/"

    @pytest.mark.slow
    def test_a_machine_without_a_browser_is_told_the_address(self, write, run):
        write("")
        server = run("--open", PATH="/nonexistent", DISPLAY="", WAYLAND_DISPLAY="", BROWSER="")
        _, out, err = server.end(signal.SIGTERM)
        assert (out, err) == (f"note: --open: no browser is found here; the page is {server.urls['web']}/\n", "")


class TestOnATerminal:
    def test_nothing_stands_above_where_the_server_listens(self, write, folder):
        write("signals: [{path: /}]")
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "signalpost", "run"]
        with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as server:
            os.close(theirs)
            with os.fdopen(ours, encoding="utf-8") as shown:
                lines = [shown.readline()]
                while not lines[-1].endswith("Ctrl-C stops\n"):
                    lines.append(shown.readline())
            server.send_signal(signal.SIGINT)
        assert [line.split(":")[0] for line in lines[:2]] == ["web   http", "live  ws"]
        assert len(lines) == 3


WAITING = """
    import asyncio, pathlib
    from signalpost import action, route, signal, timer

    async def gone(said="working"):
        if said:
            print(said, flush=True)
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)

    @signal("chew", path="/rooms/<room>")
    async def chew(event):
        await gone()

    @signal("bite")
    async def bite(event):
        await gone()

    @route("slow", path="/slow", methods=["GET"])
    async def slow(event):
        await gone()

    @timer("often", every="1h", on_start=True)
    async def often(event):
        await gone("")

    @action("linger")
    async def linger(event, options):
        await gone()
"""


class TestWhatAStopWaitsFor:
    @pytest.mark.slow
    def test_handlers_requests_and_jobs_are_named_with_their_plugin_their_path_and_how_many(self, write, run, folder):
        write(
            """
            signals:
              - path: /call
                do: [{call: bite}]
              - path: /leave
                disconnected: [{linger: {}}]
            """,
            patient=WAITING,
        )
        server = run()
        read = server.process.stdout.readline
        live, web = server.urls["live"], server.urls["web"]
        with ExitStack() as stack:
            for path in ("/rooms/blue", "/rooms/blue", "/call"):
                client = stack.enter_context(connect(live + path, proxy=None))
                client.send('{"message": "x"}')
                assert read() == "working\n"
            with connect(live + "/leave", proxy=None):
                pass
            assert read() == "working\n"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            asking = threading.Thread(target=opener.open, args=(f"{web}/slow",))
            asking.start()
            assert read() == "working\n"
            server.process.send_signal(signal.SIGINT)
            said = server.process.stderr.readline()
            (folder / "go").touch()
        asking.join()
        assert said.startswith("stopping: waits 30 s at most for ")
        assert said.endswith("; Ctrl-C again ends it now\n")
        for what in (
            "handler chew of plugin patient on /rooms/blue (2 messages)",
            "the actions of routes.yaml:6 (calling bite) on /call (1 message)",
            "disconnected (routes.yaml:8) on /leave (1 message)",
            "handler slow of plugin patient on /slow (1 request)",
            'timer "often" (patient) (1 run)',
        ):
            assert what in said
        assert server.end(signal.SIGCONT)[0] == 0

    @pytest.mark.slow
    def test_a_long_path_that_a_client_chose_is_cut(self, write, run, folder):
        write("", patient=WAITING)
        server = run()
        read = server.process.stdout.readline
        with connect(server.urls["live"] + "/rooms/" + "x" * 500, proxy=None) as client:
            client.send('{"message": "x"}')
            assert read() == "working\n"
            server.process.send_signal(signal.SIGINT)
            said = server.process.stderr.readline()
            (folder / "go").touch()
        assert said.endswith("Ctrl-C again ends it now\n")
        assert len(said) < 500

    @pytest.mark.slow
    def test_a_line_that_blocks_everything_is_named(self, write, run):
        write(
            "",
            stubborn="""
                import time
                from signalpost import signal

                @signal("hold", path="/hold")
                async def hold(event):
                    print("holding", flush=True)
                    time.sleep(1_000)
            """,
        )
        server = run()
        with connect(server.urls["live"] + "/hold", proxy=None, close_timeout=0) as client:
            client.send('{"message": "x"}')
            assert server.process.stdout.readline() == "holding\n"
            server.process.send_signal(signal.SIGINT)
            said = server.process.stderr.readline()
            assert re.fullmatch(
                r'stopping: waits for handler "hold" of plugin stubborn \(\S+/plugins/stubborn\.py:5\), which is at '
                r"hold \(\S+/plugins/stubborn\.py:8\), which blocks everything else; Ctrl-C again ends it now\n",
                said,
            )
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait() == 130

"""What commands import: nothing that they do not need, since that is what a command waits for before it begins."""

import ast
import signal
import sys

import pytest

# What takes long to import, each with what it is for. The commands below say which of it they need.
HEAVY = {
    "apscheduler": "jobs",
    "asyncio": "a loop",
    "cryptography": "certificates",
    "httpx": "event streams",
    "jinja2": "templates",
    "jsonschema": "schemas",
    "jwt": "tokens",
    "prometheus_client": "metrics",
    "redis": "a backplane",
    "rich": "tables",
    "sanic": "HTTP",
    "signalpost.delivery.hub": "clients",
    "signalpost.plan": "a plan",
    "uvloop": "a loop",
    "watchfiles": "saves",
    "websockets.asyncio.client": "other servers",
    "yaml": "files",
}
PLANNED = {"asyncio", "jinja2", "jsonschema", "signalpost.plan", "yaml"}
SERVED = {*PLANNED, "apscheduler", "sanic", "signalpost.delivery.hub", "uvloop", "watchfiles"}
NEEDED = {
    ("--version",): set(),
    ("--help",): set(),
    ("run", "--help"): set(),
    ("listen", "--help"): set(),
    ("nonsense",): set(),
    ("check",): PLANNED,
    ("check", "--format", "json"): PLANNED,
    ("explain", "/"): {*PLANNED, "rich"},
    ("routes",): {*PLANNED, "rich"},
    ("plugins",): {*PLANNED, "rich"},
    ("jobs",): {*PLANNED, "rich"},
    ("types",): PLANNED,
    ("asyncapi",): PLANNED,
}
LISTS_MODULES = """
import atexit, sys
atexit.register(lambda: print(sorted(sys.modules), file=sys.__stderr__))
"""
IN_PROCESS = (sys.executable, "-c", f"{LISTS_MODULES}\nfrom signalpost.cli import main\nmain()")
APP = """
    signals:
      - {path: /, do: [{reply: {value: "{{ message }}"}}], schema: {type: object}}
    timers:
      - {name: tick, every: 1h, broadcast: {value: 1}}
"""


def heavy(printed):
    """Return which heavy packages are in the list that a program has printed at its end."""
    modules = set(ast.literal_eval(printed.splitlines()[-1]))
    return {name for name in HEAVY if name in modules}


@pytest.mark.parametrize(("arguments", "needed"), NEEDED.items(), ids=map(" ".join, NEEDED))
def test_a_command_imports_only_what_it_needs(write, process, arguments, needed):
    write(APP)
    _, told = process(*arguments, command=IN_PROCESS).communicate()
    assert heavy(told) <= needed


def test_the_list_of_what_is_heavy_is_right_about_check(write, process):
    write(APP)
    _, told = process("check", command=IN_PROCESS).communicate()
    assert heavy(told) == PLANNED


def test_a_server_imports_neither_certificates_nor_clients_nor_tables_that_its_file_does_not_ask_for(write, run):
    write(APP, spy=LISTS_MODULES)
    _, _, told = run().end(signal.SIGTERM)
    assert heavy(told) == SERVED


@pytest.mark.parametrize(
    ("more", "needed"),
    [
        ("endpoints: [{name: tls, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}]", {"cryptography"}),
        ("feeds: [{name: other, url: 'ws://127.0.0.1:9', broadcast: {value: 1}}]", {"websockets.asyncio.client"}),
    ],
    ids=["certificates", "feeds"],
)
def test_what_the_file_asks_for_is_imported(write, run, more, needed):
    write(f"{more}\n", spy=LISTS_MODULES)
    _, _, told = run().end(signal.SIGTERM)
    assert needed <= heavy(told)

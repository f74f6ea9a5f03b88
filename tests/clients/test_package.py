"""The client as a package: its size, its types, and what is published."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from drivers import MODULE, must_not_be_missing

from signalpost import __version__

BIN = Path(__file__).parent / "node_modules" / ".bin"
FOLDER = MODULE.parent
MOST_BYTES = 8_000

SIGNALS = """
export interface Signals {
  "/rooms/<room>": {
    params: { room: string };
    sends: { message: { text: string } };
    receives: { from: string; text: string };
  };
  "/clock": { params: {}; sends: never; receives: unknown };
}
"""
RIGHT = """
import { connect, SignalpostError } from "@signalpost/client";
import type { Signals } from "./signals";

const line = connect<Signals>("wss://app.example.com", { token: async () => "t", shared: "ann", query: { a: "b" } });
const room = line.open("/rooms/<room>", { room: "blue" }, { store: sessionStorage });
const clock = line.open("/clock");
export async function use(): Promise<string | undefined> {
  const stop = room.on("gap", ({ why }) => console.log(why === "too-old"));
  room.on("state", ({ name, seconds }) => console.log(name === "waiting" && seconds));
  room.on("signal", ({ value }) => console.log(value.text));
  room.on("frame", ({ kind, body }) => console.log(kind, body));
  room.on("something new", (body) => console.log(body));
  stop();
  const sent: boolean = room.send({ message: { text: "hi" } });
  try {
    const answer = await room.ask({ message: { text: "hi" } }, { timeout: 5_000 });
    if (answer.kind === "reply") console.log(answer.value, sent);
    else console.log(answer.at?.length);
  } catch (error) {
    if (error instanceof SignalpostError) console.log(error.code, error.pointer);
  }
  const { signals, more } = await room.history({ before: "e:1:1", limit: 5 });
  console.log(signals[0]?.value.from, more, room.present.get("ann")?.n, room.count, room.user);
  for await (const { value, at } of room) return value.from + at;
  for await (const { value } of clock) if (typeof value === "number") console.log(value);
  console.log(await room.alive());
  room.close();
}
const loose = connect();
loose.open("/any/<thing>", { thing: 5 }).send({ whatever: true });
loose.open("/any").on("signal", ({ value }) => console.log(value.anything));
"""


@pytest.fixture
def tool():
    """Return the command of a package of npm; where all tests must run, it must be there."""

    def find(name):
        found = shutil.which(name, path=BIN)
        if found is None or shutil.which("node") is None:
            must_not_be_missing(
                f"{name} is not installed; npm install --prefix tests/clients", pytest.skip, pytest.fail
            )
        return found

    return find


@pytest.fixture
def compiles(tool, tmp_path):
    """Check a program in TypeScript; return what is wrong with it."""
    package = tmp_path / "node_modules" / "@signalpost" / "client"
    shutil.copytree(FOLDER, package)
    (tmp_path / "signals.ts").write_text(SIGNALS)

    def check(program):
        (tmp_path / "program.ts").write_text(program)
        options = ("--strict", "--noEmit", "--exactOptionalPropertyTypes", "--target", "es2022", "--lib", "es2022,dom")
        modules = ("--module", "esnext", "--moduleResolution", "bundler")
        command = [tool("tsc"), *options, *modules, "program.ts"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    return check


def test_the_module_is_small(tool):
    command = [tool("esbuild"), "--bundle", "--minify", "--format=esm", str(MODULE)]
    minified = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(minified) <= MOST_BYTES


@pytest.mark.slow
def test_a_program_with_types_is_right(compiles):
    assert compiles(RIGHT) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param('"/rooms/<room>", { room: "blue" }', '"/rooms/<room>", { rom: "blue" }', id="a parameter"),
        pytest.param('"/rooms/<room>", { room: "blue" }', '"/rooms/<room>"', id="no parameter"),
        pytest.param('line.open("/clock")', 'line.open("/clok")', id="a path"),
        pytest.param('room.send({ message: { text: "hi" } })', 'room.send({ message: "hi" })', id="what is sent"),
        pytest.param('room.ask({ message: { text: "hi" } }', 'room.ask({ text: "hi" }', id="what is asked"),
        pytest.param("value.from + at", "value.form + at", id="what is received"),
        pytest.param('why === "too-old"', 'why === "to-old"', id="why"),
        pytest.param('typeof value === "number"', "value > 0", id="what nobody knows"),
    ],
)
def test_a_program_that_is_wrong_is_said_to_be(compiles, right, wrong):
    assert RIGHT.count(right) == 1
    assert "error TS" in compiles(RIGHT.replace(right, wrong))


def test_its_version_is_that_of_the_server():
    assert json.loads((FOLDER / "package.json").read_text())["version"] == __version__


def test_it_has_the_license_of_the_project():
    assert (FOLDER / "LICENSE").read_bytes() == (Path(__file__).parents[2] / "LICENSE").read_bytes()


@pytest.mark.slow
def test_what_is_published_is_the_module_and_what_explains_it(tmp_path):
    if shutil.which("npm") is None:
        must_not_be_missing("npm is not installed", pytest.skip, pytest.fail)
    command = ["npm", "pack", "--dry-run", "--json", "--offline", "--cache", str(tmp_path)]
    told = json.loads(subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout)
    (packed,) = told if isinstance(told, list) else told.values()
    files = {each["path"] for each in packed["files"]}
    assert files == {"LICENSE", "README.md", "package.json", "signalpost.d.ts", "signalpost.js"}
    assert (packed["name"], packed["version"]) == ("@signalpost/client", __version__)


def test_it_may_be_imported_where_there_is_no_page():
    if shutil.which("node") is None:
        must_not_be_missing("node is not installed", pytest.skip, pytest.fail)
    program = f"import({json.dumps(MODULE.as_uri())}).then((client) => console.log(Object.keys(client).sort().join()))"
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert done.stdout == "SignalpostError,connect\n"

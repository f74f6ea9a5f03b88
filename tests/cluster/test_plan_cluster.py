"""`signalpost plan --cluster`: which nodes there are, and which of them serve another plan than a file."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from virtualnodes import VirtualApp, run

from signalpost.backplanes.memory import MemoryBackplane
from signalpost.backplanes.redis import RedisBackplane
from signalpost.cli import cli
from signalpost.cli.cluster import show_cluster
from signalpost.errors import OperatorError
from signalpost.node import Seams
from signalpost.plan.fingerprint import differing, fingerprint
from signalpost.testing import load_app, serve

sys.path.insert(0, str(Path(__file__).parents[1] / "backplanes"))
from redisserver import RedisServer

FILE = """
backplane: {url: "redis://:hush@127.0.0.1:6390/0", name: shop}
endpoints: [{name: live, address: 127.0.0.1, port: %d, protocol: ws}]
signals: [{path: "/rooms/<room>", presence: true}]
"""
MORE = FILE + "timers: [{name: tick, every: 5s, broadcast: {value: x}}]\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(FILE % 0)
    return tmp_path


class Shown:
    """The backplane with some nodes, and what the command shows of it."""

    def __init__(self, capsys):
        self._capsys = capsys
        self.shared = None

    def nodes(self, *plans):
        """Let nodes be there that serve plans."""

        async def story():
            app = VirtualApp(None)
            for plan in plans:
                app.plan = plan

                async def digest(plan):
                    return fingerprint(plan)

                await app.start(digest)
            await asyncio.sleep(1.5)
            self.shared = app.shared

        run(story())
        now = self.shared.store.clock()
        self.shared.store.clock = lambda: now

    def wait(self, seconds):
        now = self.shared.store.clock() + seconds
        self.shared.store.clock = lambda: now

    def change(self, number, **what):
        """Change what one of the records says."""
        table = self.shared.store.get("nodes")
        tag = sorted(tag for tag in table if " " not in tag)[number]
        record = orjson.dumps({**orjson.loads(table[tag]), **what})
        self.shared.store.put("nodes", {tag: record}, None)

    def show(self):
        """Return the rows of the table without its head, and the sentences behind it."""
        show_cluster("routes.yaml", lambda _config: MemoryBackplane(self.shared))
        lines = self._capsys.readouterr().out.splitlines()
        rows = [re.split(r" {2,}", line) for line in lines if re.match(r"n\w{8} ", line)]
        return rows, lines[len(rows) + 2 :], lines


@pytest.fixture
def shown(here, capsys):
    return Shown(capsys)


@pytest.fixture
def load(tmp_path_factory):
    def load(text):
        folder = tmp_path_factory.mktemp("node")
        return load_app(text, folder)

    return load


def test_nodes_that_serve_the_file_are_shown_and_said_to_do_so(shown, load):
    shown.nodes(load(FILE % 0), load(FILE % 0))
    rows, said, lines = shown.show()
    assert lines[0] == "nodes at redis://127.0.0.1:6390/0 (name shop)"
    assert [row[-1] for row in rows] == ["this one"] * 2
    assert said == ["all 2 nodes serve routes.yaml"]


def test_a_node_that_listens_elsewhere_serves_the_same_plan(shown, load):
    shown.nodes(load(FILE % 0), load(FILE % 8123))
    assert shown.show()[1] == ["all 2 nodes serve routes.yaml"]


def test_nodes_with_different_plans_are_told_plainly_with_what_differs(shown, load):
    shown.nodes(load(FILE % 0), load(MORE % 0))
    rows, said, _ = shown.show()
    assert sorted(row[-1] for row in rows) == ["another one: timers", "this one"]
    assert said == ["the nodes serve different plans: 1 of 2 another one than routes.yaml"]


def test_nodes_that_agree_about_another_plan_are_told(shown, load):
    shown.nodes(load(MORE % 0), load(MORE % 0))
    assert shown.show()[1] == ["all nodes serve one plan, but another one than routes.yaml"]


def test_a_node_that_says_nothing_any_more_is_shown_as_silent(shown, load):
    shown.nodes(load(FILE % 0), load(MORE % 0))
    shown.wait(90)
    rows, said, _ = shown.show()
    assert all(row[-1].startswith("silent for ") for row in rows)
    assert said == ["no node answers"]


def test_versions_that_differ_are_told(shown, load):
    shown.nodes(load(FILE % 0), load(FILE % 0))
    shown.change(0, version="9.9.9")
    assert re.fullmatch(r"versions of signalpost differ: .*9\.9\.9 \(this is .*\)", shown.show()[1][1])


def test_a_record_of_a_newer_version_is_read_as_far_as_it_is_known(shown, load):
    shown.nodes(load(FILE % 0))
    shown.change(0, colour="blue")
    assert shown.show()[1] == ["the node serves routes.yaml"]


def test_nobody_at_the_backplane_is_said(shown):
    shown.nodes()
    assert shown.show()[2] == ["no node is at redis://127.0.0.1:6390/0 (name shop)"]


def test_a_backplane_that_is_away_is_an_error_that_names_it_without_its_password(shown):
    shown.nodes()
    shown.shared.down = True
    with pytest.raises(OperatorError) as error:
        shown.show()
    assert str(error.value) == "the backplane redis://127.0.0.1:6390/0 cannot be reached: the server is down"


def command(*arguments):
    return CliRunner().invoke(cli, ["plan", *arguments], prog_name="signalpost")


def test_a_file_without_a_backplane_has_no_nodes(here):
    (here / "routes.yaml").write_text("endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]")
    told = command("--cluster")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "routes.yaml names no backplane, so it has no other nodes" in told.stderr


def test_another_file_cannot_be_compared_at_the_same_time(here):
    told = command("--cluster", "--against", "other.yaml")
    assert told.exit_code == 2
    assert "leave --against out" in told.stderr


def test_what_listens_and_where_things_are_kept_is_no_part_of_a_fingerprint(load):
    own = "state: {file: a.db}\n"
    assert not differing(fingerprint(load(FILE % 0 + own)), fingerprint(load(FILE % 1 + own.replace("a.db", "b.db"))))
    assert differing(fingerprint(load(FILE % 0)), fingerprint(load(MORE % 0))) == ["timers"]
    assert differing({}, {"signals": "x"}) == ["signals"]


@pytest.mark.slow
async def test_nodes_at_a_real_redis_are_shown_and_share_who_is_present(here, tmp_path, until):
    with RedisServer(tmp_path) as server:
        text = (FILE % 0).replace("redis://:hush@127.0.0.1:6390/0", server.url)
        (here / "routes.yaml").write_text(text)
        command = (sys.executable, "-m", "signalpost", "plan", "--cluster")

        async def plan():
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout.splitlines()

        assert await plan() == (0, [f"no node is at {server.url} (name shop)"])
        seams = [Seams(backplane=RedisBackplane(server.url, "shop")) for _ in range(2)]
        async with serve(text, seams=seams[0]) as one, serve(text, seams=seams[1]) as two:
            async with one.connect("/rooms/blue") as ann, two.connect("/rooms/blue") as bob:
                for app in (one, two):
                    memory = app.server.node.memory
                    await until(lambda m=memory: {each.user for each in m.present("/rooms/blue")} == {ann.id, bob.id})
            while (told := await plan())[1][-1] != "all 2 nodes serve routes.yaml":
                assert told[0] == 0
        assert await plan() == (0, [f"no node is at {server.url} (name shop)"])

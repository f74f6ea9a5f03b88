"""The unit that `new --deploy systemd` writes: judged by systemd's own tool, and run by a real systemd."""

import json
import os
import re
import shutil
import subprocess

import pytest

from .conftest import program

KINDS = ("systemd",)


class TestJudged:
    def test_systemd_finds_little_exposed(self, new_app):
        unit = new_app(*KINDS) / "deploy" / "chat.service"
        said = subprocess.run(
            [program("systemd-analyze"), "security", "--offline=true", "--no-pager", unit],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        exposure, word = re.search(r"Overall exposure level for chat.service: ([\d.]+) (\w+)", said).groups()
        assert (word, float(exposure) < 2.0) == ("OK", True)


def steps(unit):
    """The commands that a unit begins with."""
    head = unit.read_text().partition("\n\n[Unit]")[0]
    return [line.removeprefix("#     ") for line in head.splitlines() if line.startswith("#     ")]


def with_state(text, file="data/state.db"):
    """An app's YAML that keeps its state in a file."""
    return re.sub(r"^state:", f"state:\n  file: {file}", text, count=1, flags=re.MULTILINE)


class TestAnAppThatHasRun:
    """Its folder has packages for that folder, and what it has written: as another user, when root copies it."""

    @pytest.fixture
    def copy(self, new_app, tmp_path):
        """A copy of its folder, and its unit."""

        def change(text):
            (tmp_path / "shared" / "chat" / "data").mkdir()
            return with_state(text)

        app = new_app(*KINDS, change=change)
        (app / ".venv" / "lib").mkdir(parents=True)
        (app / ".venv" / "lib" / "old").touch()
        for name in (".signalpost", "data"):
            (app / name).mkdir(exist_ok=True)
            (app / name / "old").touch()
        copied = tmp_path / "srv"
        shutil.copytree(app, copied)
        return copied, app / "deploy" / "chat.service"

    def test_its_packages_are_made_anew(self, copy):
        copied, unit = copy
        (line,) = [step for step in steps(unit) if "venv" in step and "&&" in step and "pip" in step]
        made = line.partition(" && ")[0] + " --without-pip"
        subprocess.run(["bash", "-euc", made], cwd=copied, check=True)
        assert not (copied / ".venv" / "lib" / "old").exists()
        assert (copied / ".venv" / "bin" / "python3").exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_what_it_has_written_belongs_to_the_service_and_nothing_else_does(self, copy):
        copied, unit = copy
        lines = [re.sub(r"\bchat(:?) ", r"nobody\1 ", step) for step in steps(unit) if step.startswith("chown ")]
        subprocess.run(["bash", "-euc", "\n".join(lines)], cwd=copied, check=True)
        owners = {name: (copied / name).owner() for name in (".signalpost/old", "data/old", "routes.yaml")}
        assert owners == {".signalpost/old": "nobody", "data/old": "nobody", "routes.yaml": "root"}

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_no_folder_is_given_away_that_has_more_than_that(self, new_app, tmp_path, elsewhere):
        file = tmp_path / "state.db" if elsewhere else "state.db"
        app = new_app(*KINDS, change=lambda text: with_state(text, file))
        (line,) = [step for step in steps(app / "deploy" / "chat.service") if step.startswith("chown -R")]
        assert line.partition(" #")[0] == "chown -R chat: .signalpost"
        (made,) = [step for step in steps(app / "deploy" / "chat.service") if step.startswith("install -d")]
        assert made.partition("-m 0700 ")[2] == (".signalpost" if elsewhere else ".signalpost .")


@pytest.mark.slow
@pytest.mark.wheel
@pytest.mark.timeout(300)
def test_a_real_systemd_installs_runs_reloads_restarts_and_watches_the_unit(new_app, sandbox):
    program("systemd")
    new_app(*KINDS, change=lambda text: text.replace("drain: 30s", "drain: 1s"))
    process = sandbox.start("bash", "/opt/shared/boot.sh", "/opt/shared/unitdriver.py", "/opt/shared/chat", "chat")
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if '"activated"' in line or '"failed"' in line:
                break
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
    steps = {told["step"]: told for told in map(json.loads, (line for line in lines if line.startswith("{")))}
    assert "failed" not in steps, json.dumps(steps["failed"], indent=1)
    assert list(steps) == [
        "started",
        "sealed",
        "asked",
        "mistake",
        "reloaded",
        "restarted",
        "hung",
        "stopped",
        "activated",
    ]
    assert [told["page"] for told in steps.values() if "page" in told] == [200] * 5
    assert {told["ActiveState"] for told in steps.values() if "page" in told} == {"active"}

    serving = "serving http://127.0.0.1:8090, ws://127.0.0.1:8091"
    started = steps["started"]
    assert (started["StatusText"], started["owner"]) == (serving, "chat")
    assert started["rings"] > 0  # its system calls are not among those that the unit refuses
    assert steps["sealed"]["written"] == [1, 1, 0]  # nothing but its own folder
    assert "nobody is connected" in steps["asked"]["clients"]
    # A reload with a mistake changes nothing, and says where it is.
    assert steps["mistake"]["StatusText"].startswith("not reloaded: the app goes on as it was: routes.yaml:20:21: ")
    assert steps["reloaded"]["StatusText"] == "reloaded: +1 route"
    assert started["MainPID"] == steps["mistake"]["MainPID"] == steps["reloaded"]["MainPID"]
    # Nobody was refused while it was restarted, since systemd held the sockets.
    assert steps["restarted"]["MainPID"] != started["MainPID"]
    assert steps["restarted"]["answers"] == ["200"]
    assert (steps["hung"]["NRestarts"], steps["hung"]["StatusText"]) == ("1", serving)
    assert (steps["stopped"]["ActiveState"], steps["stopped"]["Result"]) == ("inactive", "success")
    assert steps["activated"]["StatusText"] == serving

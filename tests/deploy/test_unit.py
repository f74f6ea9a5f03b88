"""The unit that `new --deploy systemd` writes: judged by systemd's own tool, and run by a real systemd."""

import json
import re
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

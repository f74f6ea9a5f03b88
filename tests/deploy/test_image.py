"""The image that `new --deploy docker` writes: built by its steps, and run as its compose file says."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
import yaml

from .conftest import program

KINDS = ("docker",)
CALLS = ["io_uring_enter", "io_uring_register", "io_uring_setup"]


@pytest.fixture
def app(new_app):
    return new_app(*KINDS)


@pytest.fixture
def service(app):
    return yaml.safe_load((app / "compose.yaml").read_text())["services"]["app"]


class TestProfile:
    def test_it_allows_what_docker_does_and_three_calls_more(self, app):
        profile = json.loads((app / "deploy" / "seccomp.json").read_text())
        *docker, ours = profile["syscalls"]
        assert (ours["names"], ours["action"], set(ours) - {"names", "action", "comment"}) == (
            CALLS,
            "SCMP_ACT_ALLOW",
            set(),
        )
        assert not any(name in rule["names"] for rule in docker for name in CALLS)
        # As it was when it was held against Docker's own; what is changed here is no longer that.
        canonical = json.dumps({**profile, "syscalls": docker}, sort_keys=True)
        assert (
            hashlib.sha256(canonical.encode()).hexdigest()
            == "9eacc36dfdbf82f9dc4b5d88739933534c38a4793fac8e6342310d1bef53bf3f"
        )


class TestComposeFile:
    def test_it_has_nothing_to_write_and_no_privilege(self, service):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["tmpfs"] == ["/tmp", "/app/.signalpost:uid=10001,gid=10001,mode=0700"]

    def test_its_ports_are_those_of_the_app(self, service):
        assert service["ports"] == ["127.0.0.1:8090:8090", "127.0.0.1:8091:8091"]

    def test_it_gives_the_server_longer_to_stop_than_it_takes(self, service):
        assert int(re.fullmatch(r"(\d+)s", service["stop_grace_period"])[1]) > 30


@pytest.mark.slow
@pytest.mark.wheel
@pytest.mark.timeout(300)
class TestBuilt:
    def test_its_steps_make_what_runs_as_the_compose_file_says(self, app, sandbox):
        (app / "secrets.txt").write_text("copied, since nothing says that it is secret")
        (app / ".venv").mkdir()
        (app / ".venv" / "pyvenv.cfg").touch()
        (app / "web" / "index.html").chmod(0o600)
        process = sandbox.start("python3", "/opt/shared/imagedriver.py", "/opt/shared/chat")
        said = process.communicate()[0]
        steps = {told["step"]: told for told in map(json.loads, said.splitlines()) if "step" in told}
        assert list(steps) == ["built", "served", "served by Docker's own profile"], said
        files = set(steps["built"]["files"])
        assert {"routes.yaml", "web/index.html", "plugins/clock.py"} <= files
        assert not {name for name in files if name.startswith((".venv", ".signalpost", "deploy", "compose"))}
        for step in ("served", "served by Docker's own profile"):
            told = steps[step]
            assert (told["before"], told["healthy"], told["status"], told["code"]) == (False, True, 200, 0), told[
                "said"
            ]
            assert (told["ids"], told["filtered"]) == ("10001", "2")
        assert steps["served"]["rings"] > 0
        assert steps["served by Docker's own profile"]["rings"] == 0

    def test_docker_builds_it(self, app):
        if (
            shutil.which("docker") is None
            or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
        ):
            pytest.skip("there is no Docker here")
        subprocess.run([program("docker"), "build", app], check=True)

"""Apps with the files of a deployment, and a root of their own to run them in."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from signalpost.cli.deploy import Kind, write_deployment
from signalpost.cli.new import create_app

HERE = Path(__file__).parent


def without(reason):
    """Skip a test here; but CI has everything."""
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def program(name):
    """Return the path of a program."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin:/lib/systemd")
    return found or without(f"there is no {name} here")


@pytest.fixture
def new_app(tmp_path):
    """Create an app with the files for some kinds of deployment; return its folder."""

    def new(*kinds, name="chat", change=None):
        folder = tmp_path / "shared" / name
        create_app(folder)
        if change is not None:
            text = (folder / "routes.yaml").read_text()
            (folder / "routes.yaml").write_text(change(text))
        write_deployment(folder, map(Kind, kinds))
        return folder

    return new


class Sandbox:
    """A root that shows this machine's files, and keeps every change to itself.

    Attributes:
        shared: a folder of the test, seen there as ``/opt/shared``.

    """

    def __init__(self, shared, scratch):
        self.shared = shared
        self._scratch = scratch
        self._env = {
            "SHARED": str(shared),
            "PYTHON": sys.base_prefix,
            "PACKAGES": sysconfig.get_path("purelib"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            # pip finds the packages that a test does not install, and needs no network.
            "PYTHONPATH": "/opt/shared/borrowed",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/opt/shared/wheels",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }

    def start(self, *command):
        """Start a command as process 1; SIGTERM ends it, and all that it has started."""
        return subprocess.Popen(
            [program("unshare"), "-m", "bash", HERE / "sandbox.sh", self._scratch, *command],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def sandbox(tmp_path, build_package):
    """A sandbox in which pip finds this signalpost."""
    if os.geteuid() != 0:
        pytest.skip("only root makes a root of its own")
    shared, scratch = tmp_path / "shared", tmp_path / "scratch"
    for folder in (shared, scratch, shared / "wheels", shared / "borrowed"):
        folder.mkdir(exist_ok=True)
    shutil.copy(build_package(HERE.parents[1]), shared / "wheels")
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith(("signalpost", "_signalpost", "__editable__")) and each.suffix != ".pth":
            (shared / "borrowed" / each.name).symlink_to(f"/opt/packages/{each.name}")
    for name in ("boot.sh", "unitdriver.py", "imagedriver.py"):
        if (HERE / name).exists():
            shutil.copy(HERE / name, shared)
    return Sandbox(shared, scratch)

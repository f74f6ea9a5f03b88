"""Does with a unit, under a real systemd, what its first lines say; prints what it sees as JSON, a line for each step.

Run by ``boot.sh``, in a sandbox: ``unitdriver.py FOLDER NAME``.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

APP, NAME = Path(sys.argv[1]), sys.argv[2]
HOME = Path("/srv", NAME)
UNIT = (APP / "deploy" / f"{NAME}.service").read_text()
URL = "http://127.0.0.1:8090/"
PATIENCE = 30  # seconds
LOG = Path("/opt/shared/unit.log")


def tell(step, **seen):
    print(json.dumps({"step": step, **seen}), flush=True)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        tell("failed", command=command, said=done.stdout + done.stderr, log=LOG.read_text(), unit=shown())
        sys.exit(1)
    return done.stdout


def shown():
    names = "ActiveState,StatusText,MainPID,NRestarts,Result,ExecMainStatus"
    found = subprocess.run(["systemctl", "show", NAME, "-p", names], capture_output=True, text=True, check=False).stdout
    return dict(line.split("=", 1) for line in found.splitlines())


def wait_for(status):
    """Wait until the status begins so; return what systemd shows."""
    until = time.monotonic() + PATIENCE
    while not (found := shown()).get("StatusText", "").startswith(status) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def page():
    with urllib.request.urlopen(URL, timeout=PATIENCE) as answer:
        return answer.status


# The steps of its first lines, as they stand there.
steps = [
    line.removeprefix("#     ") for line in UNIT.partition("\n\n[Unit]")[0].splitlines() if line.startswith("#     ")
]
LOG.touch()
beside = Path("/etc/systemd/system", f"{NAME}.service.d")
beside.mkdir()
(beside / "log.conf").write_text(
    f"[Service]\nWatchdogSec=4s\nStandardOutput=append:{LOG}\nStandardError=append:{LOG}\n"
)
Path(f"/etc/{NAME}.env").write_text("PYTHONPATH=/opt/shared/borrowed\nLD_LIBRARY_PATH=/opt/python/lib\n")
run("bash", "-euc", "\n".join(steps), cwd=APP)
found = wait_for("serving")
process = Path("/proc", found["MainPID"])
rings = [each for each in (process / "fd").iterdir() if "io_uring" in str(each.readlink())]
limits = re.search(r"Max open files +(\d+) +(\d+)", (process / "limits").read_text()).groups()
tell("started", **found, page=page(), rings=len(rings), limits=limits, owner=process.owner())

tries = ("/etc/test", HOME / "test", HOME / ".signalpost" / "test")
entered = ("nsenter", "-t", found["MainPID"], "-m", "touch")
tell(
    "sealed", written=[subprocess.run([*entered, path], capture_output=True, check=False).returncode for path in tries]
)

command = re.search(r"`cd \S+ && (runuser .*)`", UNIT)[1]
lent = os.environ | {"PYTHONPATH": "/opt/shared/borrowed", "LD_LIBRARY_PATH": "/opt/python/lib"}
tell("asked", clients=run(*command.split(), cwd=HOME, env=lent))

routes = HOME / "routes.yaml"
text = routes.read_text()
routes.write_text(text.replace("web/index.html", "web/gone.html"))
run("systemctl", "reload", NAME)
tell("mistake", **wait_for("not reloaded"), page=page())

routes.write_text(text.replace("routes:\n", "routes:\n  - {path: /again, file: web/index.html}\n", 1))
run("systemctl", "reload", NAME)
tell("reloaded", **wait_for("reloaded"), page=page())

answers, going = [], True


def ask():
    while going:
        try:
            answers.append(page())
        except OSError as error:
            answers.append(str(error))


asking = [threading.Thread(target=ask) for _ in range(4)]
for thread in asking:
    thread.start()
run("systemctl", "restart", NAME)
going = False
for thread in asking:
    thread.join()
tell("restarted", **wait_for("serving"), answers=sorted(set(map(str, answers))), count=len(answers))

os.kill(int(shown()["MainPID"]), 19)  # SIGSTOP: it hangs, and the watchdog sees it
until = time.monotonic() + 60
while (found := shown())["NRestarts"] == "0" and time.monotonic() < until:
    time.sleep(0.1)
tell("hung", **wait_for("serving"), page=page())

run("systemctl", "stop", NAME)
tell("stopped", **shown())
tell("activated", page=page(), **wait_for("serving"))

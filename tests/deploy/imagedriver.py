"""Builds an image by the steps of its Dockerfile, and runs it as the compose file says, in a sandbox instead of Docker.

``imagedriver.py FOLDER`` prints what it sees as JSON. The base image is the sandbox: this machine with its Python. Both
stages share one root, so what is copied from the first is there already.
"""

import ctypes
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

CONTEXT = Path(sys.argv[1])
SERVICE = yaml.safe_load((CONTEXT / "compose.yaml").read_text())["services"]["app"]
LINES = [line for line in (CONTEXT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
STEPS = [tuple(line.split(" ", 1)) for line in LINES]
PATIENCE = 30  # seconds
# What this sandbox needs besides the image: packages that pip was not asked to fetch, and libpython.
LENT = {"PYTHONPATH": "/opt/shared/borrowed", "LD_LIBRARY_PATH": "/opt/python/lib"}


def tell(step, **seen):
    print(json.dumps({"step": step, **seen}), flush=True)


def ignored(name):
    patterns = [line for line in (CONTEXT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    return any(
        fnmatch.fnmatch(part, pattern.removeprefix("**/"))
        if pattern.startswith("**/")
        else str(name).startswith(pattern)
        for pattern in filter(None, patterns)
        for part in name.parts
    )


def copy(sources, target):
    for source in sources:
        files = [CONTEXT / source] if (CONTEXT / source).is_file() else sorted((CONTEXT / source).rglob("*"))
        for file in files:
            name = file.relative_to(CONTEXT)
            if file.is_file() and not ignored(name):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target / name)


def build():  # noqa: C901 - a case for each kind of step
    """Do the steps; return the image's settings: its folder, user, variables, health check and command."""
    folder, user, variables, found, stages = Path("/"), "root", {}, {}, []
    for name, rest in STEPS:
        if name == "FROM":
            stages += re.findall(r" AS (\w+)$", rest)
        elif name == "WORKDIR":
            folder = Path(rest)
            folder.mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and rest.startswith("--from="):
            stage, source, _ = rest.removeprefix("--from=").split()
            assert stage in stages
            assert Path(source).exists()
        elif name == "COPY":
            *sources, target = rest.split()
            copy(sources, folder / target)
        elif name == "RUN":
            done = subprocess.run(["sh", "-ec", rest], cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                tell("failed", command=rest, said=done.stdout + done.stderr)
                sys.exit(1)
        elif name == "ENV":
            variables |= dict(each.split("=", 1) for each in shlex.split(rest))
        elif name == "USER":
            user = rest
        elif name == "HEALTHCHECK":
            found["health"] = json.loads(rest.partition(" CMD ")[2])
        elif name == "CMD":
            found["command"] = json.loads(rest)
        else:
            assert name == "EXPOSE"
    return {"folder": folder, "user": user, "variables": variables, **found}


def seal(folder):
    """Make the root read-only, but for what the compose file lists."""
    assert SERVICE["read_only"] is True
    for each in SERVICE["tmpfs"]:
        path, _, options = each.partition(":")
        subprocess.run(["mount", "-t", "tmpfs", "-o", options or "mode=1777", "tmpfs", path], check=True)
    subprocess.run(["mount", "-o", "remount,ro", "/"], check=True)


class Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def confine(profile):
    """Refuse this process the system calls that a profile does, as Docker would for one without capabilities."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    actions = {"SCMP_ACT_ALLOW": 0x7FFF0000}
    operators = {"SCMP_CMP_LT": 2, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
    context = ctypes.c_void_p(library.seccomp_init(0x00050000 | profile["defaultErrnoRet"]))
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        if (
            "caps" in includes
            or "amd64" not in includes.get("arches", ["amd64"])
            or "amd64" in excludes.get("arches", [])
        ):
            continue
        action = actions.get(rule["action"], 0x00050000 | rule.get("errnoRet", 1))
        arguments = [
            Comparison(each["index"], operators[each["op"]], each["value"], 0) for each in rule.get("args", ())
        ]
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:  # else this machine's library does not know it
                array = (Comparison * len(arguments))(*arguments)
                code = library.seccomp_rule_add_array(context, action, number, len(arguments), array)
                assert code == 0, (name, code)
    assert library.seccomp_load(context) == 0


def start(image, profile):
    """Start the image's command as its user, with no capability and the profile."""

    def become():
        library = ctypes.CDLL(None, use_errno=True)
        for capability in range(64):
            library.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
        os.setgroups([])
        os.setresgid(10001, 10001, 10001)
        os.setresuid(10001, 10001, 10001)
        assert library.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        confine(profile)

    assert SERVICE["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in SERVICE["security_opt"]
    return subprocess.Popen(
        image["command"],
        executable=shutil.which(image["command"][0], path=image["variables"]["PATH"]),
        cwd=image["folder"],
        env=image["variables"] | LENT,
        preexec_fn=become,  # noqa: PLW1509 - this process has one thread
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def healthy(image):
    command = ["/opt/python/bin/python3", *image["health"][1:]]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def serve(image, profile, step):
    """Run the image until it is healthy, look at it, and stop it."""
    before = healthy(image)
    process = start(image, profile)
    until = time.monotonic() + PATIENCE
    while not healthy(image) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    seen = {"healthy": healthy(image), "before": before}
    if seen["healthy"]:
        proc = Path("/proc", str(process.pid))
        seen["status"] = urllib.request.urlopen("http://127.0.0.1:8090/").status
        seen["rings"] = sum("io_uring" in str(each.readlink()) for each in (proc / "fd").iterdir())
        seen["ids"] = re.search(r"Uid:\s+(\d+)", (proc / "status").read_text())[1]
        seen["filtered"] = re.search(r"Seccomp:\s+(\d+)", (proc / "status").read_text())[1]
        os.kill(process.pid, signal.SIGTERM)
    else:
        process.kill()
    said = process.communicate()[0]
    tell(step, said=said, code=process.returncode, **seen)


def main():
    image = build()
    files = sorted(str(path.relative_to("/app")) for path in Path("/app").rglob("*") if path.is_file())
    tell("built", files=files, user=image["user"])
    seal(image["folder"])
    (name,) = (each.partition("=")[2] for each in SERVICE["security_opt"] if each.startswith("seccomp="))
    profile = json.loads((CONTEXT / name).read_text())
    serve(image, profile, "served")
    calls = {"io_uring_setup", "io_uring_enter", "io_uring_register"}
    docker = {**profile, "syscalls": [each for each in profile["syscalls"] if not calls & set(each["names"])]}
    serve(image, docker, "served by Docker's own profile")


main()

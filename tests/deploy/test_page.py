"""The page about deployment: what it names is there."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from signalpost.cli import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "core/docs/deployment.md").read_text()
SCHEMA = (ROOT / "core/reference.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_its_first_commands_write_what_its_table_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in blocks("sh")[0].splitlines():
        _, *arguments = shlex.split(line, comments=True)
        if "chat" not in arguments:  # for the app here
            monkeypatch.chdir(tmp_path / "chat")
        result = CliRunner().invoke(cli, arguments)
        assert (result.exit_code, result.exception) == (0, None)
    for name in ("Dockerfile", ".dockerignore", "compose.yaml", "requirements.txt"):
        assert (tmp_path / "chat" / name).is_file()
        assert f"`{name}`" in PAGE
    for name in ("seccomp.json", "nginx.conf"):
        assert (tmp_path / "chat" / "deploy" / name).is_file()
        assert f"`deploy/{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:limits|monitor|history|state)\.\w+)`", PAGE))))
def test_every_key_that_it_names_is_in_the_reference(name):
    assert f"`{name}`" in SCHEMA


def test_what_it_sets_in_the_kernel_is_there():
    (lines,) = blocks("ini")
    names = re.findall(r"^(net\.\S+) =", lines, re.MULTILINE)
    assert len(names) == 4
    for name in names:
        assert Path("/proc/sys", name.replace(".", "/")).exists(), name


def test_docker_run_has_what_the_compose_file_has(new_app):
    compose = (new_app("docker") / "compose.yaml").read_text()
    (said,) = re.findall(r"`docker run`\*\* needs what the compose file has: `(.*?)`", PAGE, re.DOTALL)
    words = said.split()
    told = dict(zip(words[1::2], words[2::2], strict=False))
    assert words[0] == "--read-only"
    assert f"nofile: {{soft: {told['--ulimit'].split(':')[1]}" in compose
    assert f"stop_grace_period: {told['--stop-timeout']}s" in compose
    assert json.dumps("/app/.signalpost:uid=10001,gid=10001,mode=0700") in compose
    assert "/app/.signalpost:uid=10001,gid=10001,mode=0700" in words

"""The compose file of the documents: without Docker, its parts are held against each other, and run as processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import yaml
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "backplanes"))

import redisserver
from rollingrestart import CLUSTER, NODES, ROOT, NodeProcess, Proxy, free_port, make_app, program, wait_until

from signalpost.cli.deploy import Kind, write_deployment
from signalpost.testing import load_app

COMPOSE = yaml.safe_load((CLUSTER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PROXY = (CLUSTER / "haproxy.cfg").read_text()


def seconds(text):
    return float(re.fullmatch(r"(\d+)s", text)[1])


@pytest.fixture
def haproxy():
    try:
        return program("haproxy")
    except FileNotFoundError as missing:
        pytest.fail(str(missing)) if os.environ.get("CI") else pytest.skip(str(missing))


@pytest.fixture
def config(tmp_path):
    """What the nodes' file says."""
    make_app(tmp_path)
    return load_app((tmp_path / "routes.yaml").read_text(), tmp_path).config


def test_the_proxy_takes_its_file(haproxy, tmp_path):
    text = PROXY
    for node in NODES:  # names that only Docker knows
        text = text.replace(f" {node}:", " 127.0.0.1:")
    (tmp_path / "haproxy.cfg").write_text(text)
    checked = subprocess.run(
        [haproxy, "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, re.findall(r"\[(?:WARNING|ALERT)\].*", checked.stderr)) == (0, [])


def test_the_proxy_leads_to_the_nodes_of_the_compose_file_and_listens_where_that_says():
    nodes = [name for name, service in SERVICES.items() if service.get("image") == "signalpost-node"]
    assert re.findall(r"^    server (\w+) (\w+):8090$", PROXY, re.MULTILINE) == [(name, name) for name in nodes]
    assert tuple(nodes) == NODES
    (published,) = SERVICES["proxy"]["ports"]
    assert f"bind :{published.rpartition(':')[2]} " in PROXY
    (mounted,) = SERVICES["proxy"]["volumes"]
    assert (CLUSTER / mounted.partition(":")[0]).is_file()


def test_no_connection_is_closed_because_a_node_is_held_for_ill():
    said = [line.partition("#")[0] for line in PROXY.splitlines()]
    assert not any("on-marked-down" in line for line in said)


def test_a_node_is_given_longer_to_stop_than_it_takes(config):
    for name in NODES:
        assert seconds(SERVICES[name]["stop_grace_period"]) > config.limits.drain


def test_the_network_of_the_compose_file_is_the_one_whose_proxies_are_believed(config):
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert [str(address) for endpoint in config.endpoints for address in endpoint.proxies.networks] == [
        network["subnet"]
    ] * len(config.endpoints)


def test_a_node_may_do_as_little_as_a_server_that_is_alone(tmp_path):
    (tmp_path / "routes.yaml").write_text("endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]")
    write_deployment(tmp_path, [Kind.DOCKER])
    alone = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]["app"]
    node = SERVICES["node1"]
    for key in ("read_only", "tmpfs", "cap_drop", "ulimits"):
        assert node[key] == alone[key]
    assert node["security_opt"][0] == alone["security_opt"][0]
    profiles = [
        folder / service["security_opt"][1].removeprefix("seccomp=")
        for folder, service in ((CLUSTER, node), (tmp_path, alone))
    ]
    assert profiles[0].read_bytes() == profiles[1].read_bytes()


def test_the_image_is_made_of_files_that_are_there_and_that_its_context_has():
    build = SERVICES["node1"]["build"]
    context = (CLUSTER / build["context"]).resolve()
    assert context == ROOT
    dockerfile = context / build["dockerfile"]
    ignore = dockerfile.with_name("Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = [
        source
        for line in dockerfile.read_text().splitlines()
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    ]
    for source in copied:
        assert (context / source).exists(), source
        assert source.partition("/")[0] in allowed, source


@pytest.mark.slow
@pytest.mark.wheel
def test_the_package_can_be_built_of_what_the_image_copies(tmp_path, build_package):
    text = (CLUSTER / "Dockerfile").read_text().partition("RUN ")[0]
    for line in text.splitlines():
        if line.startswith("COPY "):
            *sources, target = line.split()[1:]
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, tmp_path / target)
    assert build_package(tmp_path).name.startswith("signalpost-")


@pytest.fixture
def redis(tmp_path):
    """Run Redis as the compose file does, at a port of its own; return its URL."""
    port = str(free_port())
    _, *options = SERVICES["redis"]["command"]
    process = subprocess.Popen(
        [redisserver.program(), *options, "--port", port, "--bind", "127.0.0.1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    ask, *words = SERVICES["redis"]["healthcheck"]["test"][1:]
    wait_until(
        lambda: subprocess.run([ask, "-p", port, *words], capture_output=True, check=False).returncode == 0,
        "Redis is not healthy",
    )
    yield SERVICES["node1"]["environment"]["BACKPLANE"].replace("redis:6379", f"127.0.0.1:{port}")
    process.kill()
    process.wait()


@pytest.mark.slow
async def test_what_is_said_at_one_node_is_read_at_the_next_when_all_parts_run_as_processes(tmp_path, haproxy, redis):
    app = tmp_path / "app"
    app.mkdir()
    make_app(app)
    nodes = [NodeProcess(app, name, redis) for name in NODES]
    started = []
    try:
        for node in nodes:
            started.append(node)
            node.start()
        proxy = Proxy(app, nodes)
        started.append(proxy)
        proxy.wait_for(*nodes)
        for node in nodes:
            assert is_healthy(node)
        found = await talk_in_turn(proxy.port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}") as http:
            pages = [(await http.get(path)).status_code for path in ("/", "/assets/chat.js", "/signalpost.js")]
        nodes[0].stop()
        assert not is_healthy(nodes[0])
    finally:
        for each in started:
            each.kill()
    assert pages == [200] * 3
    assert len({tag for tag, _ in found}) == len(NODES)
    assert all(values == ["0", "1", "2"] for _, values in found)


def is_healthy(node):
    """Return what the health check of the compose file says of a node."""
    kind, python, *words = SERVICES[node.name]["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python")
    command = [sys.executable, *(word.replace(":8090", f":{node.port}") for word in words)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


async def talk_in_turn(port):
    """Let as many clients as there are nodes speak in turn; return the node of each, and what it has read."""
    async with AsyncExitStack() as stack:
        clients, early = [], defaultdict(list)
        for _ in NODES:  # each is given to the node that has the fewest
            url = f"ws://127.0.0.1:{port}/chat/lobby"
            socket = await stack.enter_async_context(connect(url, subprotocols=["signalpost.v1"], proxy=None))
            clients.append((json.loads(await socket.recv())["welcome"]["clientId"].partition("-")[0], socket))
        for number, (_, socket) in enumerate(clients):
            await socket.send(json.dumps({"message": str(number), "ref": 1}))
            while "ack" not in (frame := json.loads(await socket.recv())):
                early[socket] += [frame["signal"]["value"]] if "signal" in frame else []
        return [(tag, early[socket] + await values(socket, len(NODES) - len(early[socket]))) for tag, socket in clients]


async def values(socket, count):
    """Return the next values of a client."""
    found = []
    while len(found) < count:
        frame = json.loads(await socket.recv())
        if "signal" in frame:
            found.append(frame["signal"]["value"])
    return found

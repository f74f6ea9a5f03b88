"""One generator, four judges: the proofs of `check`, `try --as`, `explain --as`, and a running server agree."""

import asyncio
import json
import random
import re

import httpx
import pytest
import yaml
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed

from signalpost.cli import cli
from signalpost.cli.loading import load
from signalpost.testing import serve

CASES = 200
SEEDS = (1, 2)
WORDS = ["anyone", "users", "nobody"]
EXPRESSIONS = [
    "{{ 'editor' in claims.roles }}",
    "{{ user == 'ann' }}",
    "{{ claims.level > 3 }}",
    "{{ claims.secret == 'x' }}",
    "{{ path == '/rooms/blue' or 'red' in claims.rooms }}",
    "{{ not user }}",
    "{{ user and claims.level }}",
]
OF_ROOMS = ["{{ params.room in claims.rooms }}", "{{ params.room == 'red' or 'editor' in claims.roles }}"]
PEOPLE = {
    "ann": {"rooms": ["blue"], "roles": ["editor"], "level": 5},
    "bob": {"rooms": ["red"], "roles": [], "level": 1},
    "eve": {"rooms": [], "roles": ["reader"], "level": 9, "secret": "x"},
    "zoe": {},
}
VERBS = ("connect", "publish", "target", "history", "presence")

PLUGIN = """
import json
from signalpost import Identity, hookimpl

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    return Identity(name, json.loads(request.headers["x-claims"])) if name else None
"""


def choice(dice, of_rooms):
    pool = [*WORDS, *EXPRESSIONS, *(OF_ROOMS * 2 if of_rooms else [])]
    if dice.random() < 0.2:
        return dice.sample([*EXPRESSIONS, *(OF_ROOMS if of_rooms else []), "users"], 2)
    return dice.choice(pool)


def generated(seed):
    """Return an app as data, and the paths of its signals and routes."""
    dice = random.Random(seed)
    signals = []
    for number in range(10):
        of_rooms = number % 3 == 0
        path = f"/rooms{number or ''}/<room>" if of_rooms else f"/s{number}"
        verbs = [verb for verb in VERBS if dice.random() < 0.7]
        may = {verb: choice(dice, of_rooms) for verb in verbs}
        # Nothing comes from elsewhere, so that what a person can publish is what the server takes there.
        signals.append(
            {"path": path, "rebroadcast": "path", "from_elsewhere": False, "history": 5, "presence": True}
            | ({"may": may} if may else {})
        )
    routes = [
        {"path": f"/r{number}", "method": "POST", "may": choice(dice, False), "do": [{"respond": {"text": "ok"}}]}
        for number in range(5)
    ]
    app = {
        "endpoints": [
            {"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "http"},
            {"name": "live", "address": "127.0.0.1", "port": 0, "protocol": "ws"},
        ],
        "undeclared": "refuse",
        "auth": {"people": PEOPLE},
        "signals": signals,
        "routes": routes,
    }
    paths = [
        path
        for each in signals
        for path in (
            [each["path"].replace("<room>", room) for room in ("blue", "red")]
            if "<" in each["path"]
            else [each["path"]]
        )
    ]
    cases = [(who, verb, path) for who in ("guest", *PEOPLE) for verb in VERBS for path in paths]
    cases += [(who, "request", each["path"]) for who in ("guest", *PEOPLE) for each in routes]
    return app, paths, sorted(dice.sample(cases, CASES))


def headers_of(who):
    return {} if who == "guest" else {"x-user": who, "x-claims": json.dumps(PEOPLE[who])}


# The running server


async def said_by_server(app, paths, case):
    who, verb, path = case
    if verb == "request":
        async with httpx.AsyncClient(trust_env=False) as web:
            response = await web.post(app.url("web") + path, headers=headers_of(who))
        assert response.status_code in (200, 401, 403)
        assert (response.status_code == 401) <= (who == "guest")
        return response.status_code == 200
    places = [path] if verb not in ("history", "presence") else [path, *paths]
    for place in places:  # the history of a path can be asked for from others, too
        if await said_on_a_socket(app, who, verb, path, place):
            return True
    return False


async def said_on_a_socket(app, who, verb, path, place):
    options = {"subprotocols": ["signalpost.v1"], "additional_headers": headers_of(who)}
    async with app.connect(place, endpoint="live", **options) as client:
        if "error" in json.loads(await client.socket.recv()):
            with pytest.raises(ConnectionClosed) as closed:
                await client.socket.recv()
            assert closed.value.rcvd.code == (4401 if who == "guest" else 4403)
            return False
        if verb == "connect":
            return True
        message = {
            "publish": {"message": "x"},
            "target": {"message": "x", "path": path},
            "history": {"signalpost": {"history": {"path": path}}},
            "presence": {"signalpost": {"presence": {"path": path}}},
        }[verb]
        await client.socket.send(json.dumps({**message, "ref": 1}))
        while True:
            (kind, body), *_ = json.loads(await client.socket.recv()).items()
            if body.get("ref") == 1:
                assert kind != "error" or body["code"] in ("forbidden", "unknown-request"), body
                return kind != "error" or body["code"] == "unknown-request"  # nobody is there, so nothing is known


# The commands


def run(*arguments):
    result = CliRunner().invoke(cli, arguments, prog_name="signalpost")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def said_by_try(file, case):
    who, verb, path = case
    if verb == "request":
        output = run("try", path, "", str(file), "--method", "POST", "--as", who).output
        return "refused with" not in output
    if verb in ("history", "presence"):
        return None  # of which no message asks
    message = {"message": "x", "path": path} if verb == "target" else {"message": "x"}
    output = run("try", path, json.dumps(message), str(file), "--as", who).output
    refused = re.search(r"^  connect +refused", output, re.MULTILINE)
    return not refused and (verb == "connect" or "refused: forbidden" not in output)


def said_by_explain(file, case):
    who, verb, path = case
    output = run("explain", path, str(file), "--as", who).output
    answer = re.search(rf"^  may {verb} +(yes|no|cannot)", output, re.MULTILINE)
    assert answer, output
    return {"yes": True, "no": False}[answer[1]]


def problems_of_check(file, app, proofs):
    file.write_text(yaml.safe_dump({**app, "auth": {**app["auth"], "proofs": proofs}}, sort_keys=False))
    return json.loads(run("check", str(file), "--format", "json").stdout)


def proof(case, *, can):
    who, verb, path = case
    return {"who": who, "can" if can else "cannot": verb, "path": path}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_check_and_try_and_explain_and_the_server_agree_about_who_may_what(seed, tmp_path, monkeypatch):
    app, paths, cases = generated(seed)
    assert len(cases) == CASES

    async def ask():
        async with serve(yaml.safe_dump(app), plugins={"people": PLUGIN}) as server:
            return [await said_by_server(server, paths, case) for case in cases]

    truth = asyncio.run(ask())
    assert 0.2 < sum(truth) / CASES < 0.8

    file = tmp_path / "routes.yaml"
    holding = [proof(case, can=can) for case, can in zip(cases, truth, strict=True)]
    assert problems_of_check(file, app, holding) == []
    failing = [proof(case, can=not can) for case, can in zip(cases, truth, strict=True)]
    assert len(problems_of_check(file, app, failing)) == CASES

    file.write_text(yaml.safe_dump(app))
    plan = load(str(file))
    monkeypatch.setattr("signalpost.cli.loading.load", lambda _file, **_options: plan)  # the file stays the same
    for case, can in zip(cases, truth, strict=True):
        assert said_by_explain(file, case) is can, case
        assert said_by_try(file, case) in (can, None), case

"""A trial agrees with a server: the same messages reach the same clients."""

import json

import pytest

from signalpost.cli.imagined import Imagined
from signalpost.cli.trial import Trial
from signalpost.plan import load_plan
from signalpost.testing import serve

APP = """\
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - path: /rooms/<room>
    schema: {type: object, properties: {message: {maxLength: 20}}}
    connected: [{join: "{{ params.room }}"}, {set: {"seen.{{ params.room }}": true}}]
    do:
      - if: "{{ message == 'END' }}"
        then: [{broadcast: {value: END, to: everyone}}, {stop: true}]
      - for: {each: room, in: "{{ state.seen }}"}
        do: [{broadcast: {value: "{{ room }}: {{ message }}", group: "{{ room }}"}}]
      - broadcast: {value: {text: "{{ message }}", from: "{{ path }}"}}
      - reply: {value: "{{ 1 / data.by }}"}
  - {path: /others, rebroadcast: others, targets: [path]}
"""
CLIENTS = {"one": "/rooms/red", "two": "/rooms/blue", "three": "/others", "four": "/"}
MESSAGES = [
    {"message": "hi", "by": 4},
    {"message": "hi", "by": 0},
    {"message": "hi", "by": 1, "path": "/ROOMS/blue"},
    {"message": "hi", "by": 1, "direct": True},
    {"message": "much too long for the schema"},
    {"message": ""},
    {"message": 5, "path": 6},
    [],
]


async def tried(plan, sender, text):
    """Return what each client receives in a trial."""
    trial = Trial(plan, plan.config.endpoints[0], {}, call=False)
    async with trial.running(Imagined(name, path) for name, path in CLIENTS.items()):
        (client,) = (each for each in trial.clients if each.id == sender)
        await trial.send(client, text)
        return {name: trial.received(name) for name in CLIENTS}


async def served(app, sender, text):
    """Return what each client of a server receives, up to what the sender says next: the word END, to all."""
    received = {name: [] for name in CLIENTS}
    async with (
        app.connect(CLIENTS["one"]) as one,
        app.connect(CLIENTS["two"]) as two,
        app.connect(CLIENTS["three"]) as three,
        app.connect(CLIENTS["four"]) as four,
    ):
        clients = {"one": one, "two": two, "three": three, "four": four}
        await clients[sender].socket.send(text)
        await clients[sender].socket.send('{"message": "END"}')
        for name, client in clients.items():
            while (value := await client.receive()) != "END":
                received[name].append(value)
    return received


@pytest.mark.parametrize("message", MESSAGES, ids=json.dumps)
@pytest.mark.parametrize("sender", ["one", "four"])
async def test_whoever_receives_a_message_of_a_server_receives_it_in_a_trial(tmp_path, sender, message):
    text = json.dumps(message)
    async with serve(APP, folder=tmp_path) as app:
        expected = await served(app, sender, text)
    plan = load_plan(tmp_path / "routes.yaml")
    assert await tried(plan, sender, text) == expected
    assert any(expected.values()) or message == {"message": ""}

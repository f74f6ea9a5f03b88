"""`signalpost try` and `signalpost run --check-sends`: what clients read is held against `sends`."""

import json
import logging
import signal
import urllib.request

import pytest
from websockets.sync.client import connect

from signalpost.cli.sendslog import MOST, SendsLog
from signalpost.signals.sends import UnexpectedValue

APP = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
signals:
  - path: /rooms/<room>
    rebroadcast: path
    sends: {type: object, properties: {text: {type: string}}}
  - {path: /hello, sends: {type: string}, connected: [{reply: {value: "{{ 5 }}"}}]}
  - {path: /, sends: {type: number}, rebroadcast: path}
routes:
  - {path: /say, method: POST, schema: {type: object}, do: [{broadcast: {value: "{{ data.x }}", path: /}}]}
"""


def test_a_trial_says_what_differs_where_it_is_asked_for_and_by_the_exit_code(write, signalpost):
    write(APP)
    done = signalpost("try", "/rooms/blue", '{"message": {"text": 5}}')
    assert done.exit_code == 1
    assert done.output.endswith(
        "not what sends says\n"
        "path          value        sends             what is wrong\n"
        '/rooms/blue   {"text":5}   routes.yaml:7:5   at /text: expected a string, got a number\n'
    )
    assert signalpost("try", "/rooms/blue", '{"message": {"text": "hi"}}').exit_code == 0


def test_a_trial_judges_what_connected_replies_even_if_the_message_is_refused(write, signalpost):
    write(APP)
    done = signalpost("try", "/hello", "no JSON")
    assert done.exit_code == 1
    assert "/hello   5       routes.yaml:8:20   expected a string, got a number" in done.output


def test_a_trial_of_a_request_judges_what_it_sends(write, signalpost):
    write(APP)
    assert signalpost("try", "/say", '{"x": 5}', "--method", "POST").exit_code == 0
    done = signalpost("try", "/say", '{"x": "five"}', "--method", "POST")
    assert done.exit_code == 1
    assert '/      "five"   routes.yaml:9:15   expected a number, got a string' in done.output


@pytest.mark.slow
def test_a_server_that_is_asked_logs_each_mistake_once(write, run):
    write(APP.replace("8090", "0").replace("8091", "0"))
    server = run("--check-sends", "--no-watch")
    with connect(server.urls["live"] + "/rooms/blue") as ada:
        for value in (5, 5, {"text": "right"}, 5):
            ada.send(json.dumps({"message": value}))
            ada.recv()
    asked = urllib.request.Request(server.urls["web"] + "/say", b'{"x": "five"}', method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as answer:
        assert answer.status == 204
    code, _, err = server.end(signal.SIGTERM)
    assert code == 0
    lines = [line.partition("signalpost.sends: ")[2] for line in err.splitlines() if "signalpost.sends: " in line]
    assert lines == [
        "/rooms/blue was sent 5, which is not what sends says (routes.yaml:7:5): expected an object, got a number",
        '/ was sent "five", which is not what sends says (routes.yaml:9:15): expected a number, got a string',
    ]


@pytest.mark.slow
def test_a_server_that_is_not_asked_logs_nothing_of_it(write, run):
    write(APP.replace("8090", "0").replace("8091", "0"))
    server = run("--no-watch")
    with connect(server.urls["live"] + "/rooms/blue") as ada:
        ada.send('{"message": 5}')
        assert ada.recv() == "5"
    assert "sends" not in server.end(signal.SIGTERM)[2]


# The log


class Told:
    """A log of mistakes, whose throttle waits until the test says that a second is over."""

    def __init__(self, caplog):
        self.plan = object()
        self._later = []
        self._caplog = caplog
        self.log = SendsLog(lambda: self.plan, lambda _, callback: self._later.append(callback))

    @property
    def lines(self):
        return [record.getMessage() for record in self._caplog.records]

    def second(self):
        later, self._later = self._later, []
        for callback in later:
            callback()


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.WARNING, "signalpost.sends")
    return Told(caplog)


def mistake(pointer="/text", detail="expected a string, got a number", place="routes.yaml:7:5"):
    return UnexpectedValue("/", place, pointer, detail, "5")


def test_the_log_tells_a_mistake_once_whatever_item_of_a_list_it_is_in(told):
    told.log(mistake("/lines/0/text"))
    told.log(mistake("/lines/17/text"))
    told.log(mistake("/lines/0/text", place="routes.yaml:9:5"))
    assert len(told.lines) == 2
    assert str(mistake("/lines/0/text")) == told.lines[0]


def test_the_log_tells_a_mistake_again_after_a_reload(told):
    told.log(mistake())
    told.second()
    told.plan = object()
    told.log(mistake())
    assert len(told.lines) == 2


def test_the_log_tells_a_few_mistakes_a_second_and_then_counts(told):
    for number in range(20):
        told.log(mistake(detail=f"expected {number}"))
    assert len(told.lines) == 3
    told.second()
    assert len(told.lines) == 4
    assert told.lines[-1].endswith("so were 16 more before it")


def test_the_log_remembers_a_bounded_number_of_mistakes_and_says_so(told):
    for number in range(3 * MOST):
        told.log(mistake(detail=f"expected {number}"))
        told.second()
    assert len(told.lines) == MOST + 1
    assert told.lines[-1] == f"more than {MOST} mistakes of this kind: further ones are not logged before a reload"

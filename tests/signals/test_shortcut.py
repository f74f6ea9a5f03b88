"""The short way of messages that have nothing but a value: quicker, and no different."""

from types import SimpleNamespace

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalpost.config.model import MessageFormat, Rebroadcast, SignalConfig
from signalpost.delivery.target import EVERYONE, Target
from signalpost.handlers import Handler, HandlerKind
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.paths import PathPattern
from signalpost.signals.decide import ANSWER, Deliver, decide
from signalpost.signals.message import RejectedMessageError, read_message, read_value
from signalpost.signals.rule import Call, Do, SignalRule

SHORT = {
    Rebroadcast.EVERYONE: Deliver(EVERYONE),
    Rebroadcast.PATH: Deliver(Target(path="/chat")),
    Rebroadcast.SENDER: ANSWER,
}
GATE = SchemaGate.compile({"type": "object", "properties": {"message": {"type": "string", "maxLength": 3}}})


def make_rule(*, rebroadcast=Rebroadcast.EVERYONE, message_format=MessageFormat.JSON, **parts):
    config = SignalConfig((), PathPattern.parse("/chat"), rebroadcast=rebroadcast, format=message_format)
    return SignalRule(config, "routes.yaml:1", frozenset({"live"}), **parts)


async def handler(event):
    """Do nothing."""


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
keys = st.sampled_from(["message", "Message", "path", "clientId", "group", "direct", "ref", "x"])
documents = st.dictionaries(keys, values, max_size=3) | values


SENDER = SimpleNamespace(place="/chat")


@given(documents, st.sampled_from([None, GATE]), st.sampled_from(list(SHORT)))
def test_what_takes_the_short_way_goes_where_it_would_have_gone(document, gate, rebroadcast):
    rule, payload = make_rule(gate=gate, rebroadcast=rebroadcast), orjson.dumps(document)
    value = read_value(payload, rule.gate)
    if value is None:
        return
    message = read_message(payload, rule.gate)
    decision = decide(rule, SENDER, message, lambda path: path)
    assert message.message == value
    assert rule.shortcut is rebroadcast
    assert decision == SHORT[rebroadcast]


@given(documents, st.sampled_from([None, GATE]))
@example({"message": 5}, GATE)
@example({"message": "hi", "ref": []}, None)
def test_what_is_refused_never_takes_the_short_way(document, gate):
    payload = orjson.dumps(document)
    try:
        read_message(payload, gate)
    except RejectedMessageError:
        assert read_value(payload, gate) is None


@pytest.mark.parametrize("payload", [b"", b"{", b'{"message":NaN}', b"[]", b'"message"'])
def test_what_is_no_message_never_takes_the_short_way(payload):
    assert read_value(payload, None) is None


def test_the_short_way_is_taken_at_all():
    assert read_value(b'{"message":"hi"}', GATE) == "hi"
    assert make_rule().shortcut is Rebroadcast.EVERYONE


@pytest.mark.parametrize(
    "changes",
    [
        {"reaction": Call(Handler("shout", HandlerKind.SIGNAL, handler))},
        {"reaction": Do(SimpleNamespace(calls=()))},
        {"message_format": MessageFormat.RAW},
        {"rebroadcast": Rebroadcast.NONE},
        {"rebroadcast": Rebroadcast.OTHERS},
        {"rebroadcast": Rebroadcast.GROUP},
    ],
)
def test_signals_that_have_something_to_decide_have_no_short_way(changes):
    assert make_rule(**changes).shortcut is None

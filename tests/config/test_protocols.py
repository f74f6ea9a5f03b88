"""`protocols` at a signal: which names it may have."""

import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.errors import ConfigError

APP = """
endpoints: [{{name: live, address: 127.0.0.1, port: 8091, protocol: ws}}]
signals:
  - path: /a
    protocols: {protocols}
"""


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("[mqtt]", ("mqtt",)),
        ("mqtt", ("mqtt",)),
        ("[mqtt, mqttv3.1, signalpost.v1]", ("mqtt", "mqttv3.1", "signalpost.v1")),
        ('[bearer, Bearer, "!#$%&\'*+-.^_`|~"]', ("bearer", "Bearer", "!#$%&'*+-.^_`|~")),
    ],
)
def test_a_token_is_a_name_and_a_list_keeps_its_order(tmp_path, given, read):
    (signal,) = parse_config(APP.format(protocols=given), file="routes.yaml", folder=tmp_path, actions=BUILT_IN).signals
    assert signal.protocols == read


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('["mqtt, soap"]', "'mqtt, soap' is no subprotocol name: it contains ','"),
        ('["my chat"]', "it contains ' ' (allowed: letters"),
        ('["münze"]', "it contains 'ü' (allowed: letters"),
        ('["a\\r\\nSet-Cookie: b"]', "it contains '\\r'"),
        ("[mqtt, mqtt]", "mqtt is in the list already"),
        ('[bearer, "*"]', "may be anything, and are never sent back"),
        ("[]", "protocols"),
        ("[1]", "protocols"),
    ],
)
def test_what_is_no_token_stands_twice_or_means_all_is_a_mistake(tmp_path, given, says):
    with pytest.raises(ConfigError) as refused:
        parse_config(APP.format(protocols=given), file="routes.yaml", folder=tmp_path, actions=BUILT_IN)
    (problem,) = refused.value.problems
    assert says in str(problem)

"""Ports that are bound, and what is said of those that cannot be."""

import pytest

from signalpost.config.check import parse_config
from signalpost.errors import ListenError
from signalpost.serving.ports import bind_ports


def test_an_address_that_is_a_secret_is_not_told(tmp_path):
    (tmp_path / "secrets.yaml").write_text("host: 192.0.2.77")
    text = "endpoints: [{name: web, address: !secret host, port: 0, protocol: http}]"
    config = parse_config(text, file="routes.yaml", folder=tmp_path)
    with pytest.raises(ListenError) as caught:
        bind_ports(config.endpoints, config.source)
    assert "routes.yaml:1: endpoint web: " in str(caught.value)
    assert "!secret host" in str(caught.value)
    assert "192.0.2.77" not in str(caught.value)  # of a network that is nobody's (RFC 5737)
    assert caught.value.__suppress_context__

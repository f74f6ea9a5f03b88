"""Proofs that once held and were not true, or were true and did not hold."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import test_proofs
from test_proofs import holds, judged

TWO = """
signals:
  - {path: /board, endpoint: live, rebroadcast: path, targets: [], may: {connect: nobody}}
  - {path: /board, endpoint: more, rebroadcast: path, targets: [path], may: {connect: anyone}}
"""
BOARD = "  - {path: /board, rebroadcast: path, targets: [], may: {connect: anyone, publish: nobody}}\n"
CANNOT = "{who: eve, cannot: publish, path: /board}"
CAN = "{who: eve, can: publish, path: /board}"


@pytest.fixture(autouse=True)
def another_endpoint(monkeypatch):
    more = "  - {name: more, address: 127.0.0.1, port: 8092, protocol: ws}\nundeclared"
    monkeypatch.setattr(test_proofs, "HEAD", test_proofs.HEAD.replace("undeclared", more))


def own(steps, may="anyone"):
    return f"signals:\n{BOARD}  - {{path: /in, rebroadcast: none, targets: [], may: {{connect: {may}}}, do: {steps}}}\n"


def test_the_end_of_a_chain_of_comparisons_may_never_be_looked_at(tmp_path):
    signal = "signals: [{path: '/r/<n>', may: {connect: \"{{ not (params.n < 'b' < claims.missing) }}\"}}]"
    assert "it cannot be proved" in judged(tmp_path, "{who: eve, cannot: connect, path: '/r/<n>'}", signal)


def test_a_path_is_asked_for_at_the_endpoint_of_who_asks(tmp_path):
    text = judged(tmp_path, CAN, TWO)
    assert "eve cannot publish on /board at the endpoint live" in text


def test_a_list_passes_nothing_on_that_it_does_not_broadcast(tmp_path):
    asks = own('[{log: "{{ message }}"}]').replace("/in, rebroadcast: none, targets: []", "/in, targets: [path]")
    assert "eve cannot publish" in judged(tmp_path, CAN, asks)
    assert holds(tmp_path, CANNOT, asks)


def test_a_raw_frame_asks_for_no_target(tmp_path):
    raw = "{path: /in, rebroadcast: none, format: raw, may: {connect: anyone}}"
    assert holds(tmp_path, CANNOT, f"signals:\n{BOARD}  - {raw}\n")


def test_what_a_level_refuses_is_no_way(tmp_path):
    asks = f"signals:\n{BOARD}  - {{path: /in, rebroadcast: none, targets: [path], may: {{connect: anyone}}}}\n"
    assert holds(tmp_path, CAN, asks)
    narrow = asks.replace("rebroadcast: path", "rebroadcast: sender, broadest: client")
    assert "eve cannot publish" in judged(tmp_path, CAN, narrow)


def test_a_key_of_a_value_is_sent_as_well(tmp_path):
    steps = '[{broadcast: {value: {"{{ message }}": 1}, path: /board}}]'
    assert "eve can publish" in judged(tmp_path, CANNOT, own(steps))


class TestState:
    TELLS = 'timers: [{name: tell, every: 1m, do: [{broadcast: {value: "{{ state.%s }}", path: /board}}]}]\n'

    @pytest.mark.parametrize(
        "steps",
        [
            '[{set: {last: "{{ message }}"}}]',
            '[{set: {last.words: {text: "{{ message }}"}}}]',
            '[{set: {"last.{{ message }}": 1}}]',
            '[{set: {"{{ message }}": 1}}]',
            '[{append: {to: last, value: "{{ message }}"}}]',
            '[{let: {said: "{{ message }}"}}, {set: {last: "{{ said }}"}}]',
        ],
    )
    def test_what_a_list_stores_another_one_may_tell(self, tmp_path, steps):
        text = judged(tmp_path, CANNOT, own(steps) + self.TELLS % "last")
        assert "it cannot be proved that eve cannot publish on /board: the actions of /in" in text
        assert "store something in the state, which is broadcast at" in text

    def test_also_by_a_copy(self, tmp_path):
        copies = self.TELLS % "copy" + "  - {name: copy, every: 1m, do: [{set: {copy: '{{ state.last }}'}}]}\n"
        copies = copies.replace("timers: [", "timers:\n  - ").replace("}]}]\n", "}]}\n")
        assert "store something" in judged(tmp_path, CANNOT, own('[{set: {last: "{{ message }}"}}]') + copies)

    @pytest.mark.parametrize(
        ("steps", "told", "may"),
        [
            ('[{set: {other: "{{ message }}"}}]', "last", "anyone"),
            ('[{set: {last: "{{ state.last | default(0) + 1 }}"}}]', "last", "anyone"),
            ('[{set: {last: "{{ message }}"}}]', "last", "nobody"),
        ],
    )
    def test_nothing_is_told_of_what_is_not_hers_or_she_cannot_store(self, tmp_path, steps, told, may):
        assert holds(tmp_path, CANNOT, own(steps, may) + self.TELLS % told)

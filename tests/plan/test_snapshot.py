"""A snapshot tells what changed as well as its plan does, in any process, and tells nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.plan import build_plan, diff
from signalpost.plan.diff import alike, compare
from signalpost.plan.snapshot import digest, from_json, snapshot, to_json
from signalpost.plugins.registry import Registry

HERE = Path(__file__).parent
ALL = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: https, self_signed: true}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["https://a.example"], compression: true}
routes: [{path: /a, broadcast: {value: {n: 1.0}}}, {path: /a, method: PUT, broadcast: {value: x}, endpoint: web}]
signals: [{path: /, schema: {type: object}, slow: {policy: latest}}, {path: "/rooms/<room>", targets: [path, group]}]
timers: [{name: t, every: 1s, broadcast: {value: x}}]
schedules: [{name: s, cron: "0 0 * * *", timezone: Europe/London, start: 2027-01-01, broadcast: {value: x}}]
limits: {rate: 10/s}
backplane: {url: "redis://app:hunter-2@10.0.0.5/0", name: shop}
"""
PRINT = """
import json, sys
from pathlib import Path
from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.plan import build_plan
from signalpost.plan.snapshot import snapshot, to_json
from signalpost.plugins.registry import Registry
config = parse_config(sys.stdin.read(), file="routes.yaml", folder=Path(sys.argv[1]), actions=BUILT_IN)
print(json.dumps(to_json(snapshot(build_plan(config, Registry())))))
"""

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 1.0, 2.5])
    | st.text("a1,:{}[]'", max_size=3),
    lambda below: (
        st.lists(below, max_size=3)
        | st.lists(below, max_size=3).map(tuple)
        | st.dictionaries(st.text("ab", max_size=2), below, max_size=3)
    ),
    max_leaves=6,
)


def plan_of(text):
    return build_plan(parse_config(text.replace("", ""), file="routes.yaml", folder=HERE, actions=BUILT_IN), Registry())


@example(0.0, -0.0)
@example(["a", "b"], ["a,strb"])
@example(["a", "b"], ["a,b"])
@example({"a": 1}, [("a", 1)])
@given(VALUES, VALUES)
def test_two_values_share_a_digest_when_they_say_the_same(one, other):
    assert (digest(one) == digest(other)) == alike(one, other)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("routes:", "routes:"),
        ("n: 1.0", "n: 1"),
        ("path: /a,", "path: /b,"),
        ("<room>", "<room:int>"),
        ("10/s", "20/s"),
        ("every: 1s", "every: 2s"),
        ("2027-01-01", "2028-01-01"),
        ("limits:", "undeclared: refuse\nlimits:"),
        ("policy: latest", "buffer: 1KiB"),
        ("name: live", "name: sockets"),
    ],
)
def test_snapshots_tell_what_their_plans_tell(before, after):
    old, new = plan_of(ALL), plan_of(ALL.replace(before, after))
    assert compare(snapshot(old), snapshot(new)) == diff(old, new)
    assert compare(from_json(json.loads(json.dumps(to_json(snapshot(old))))), snapshot(new)) == diff(old, new)


def test_every_process_makes_the_same_of_a_file():
    text = ALL.replace("", "")
    shots = [
        subprocess.run(
            [sys.executable, "-c", PRINT, str(HERE)],
            input=text,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert shots[0] == shots[1]
    assert from_json(json.loads(shots[0])) == snapshot(plan_of(ALL))


def test_what_is_said_cannot_be_read_from_it():
    text = json.dumps(to_json(snapshot(plan_of(ALL))))
    assert "a.example" not in text
    assert "/rooms/<room>" in text


@pytest.mark.parametrize("data", [None, [], {"routes": 5}, {"routes": [5]}, {"routes": [["a", "b"]]}])
def test_what_is_no_snapshot_is_refused(data):
    with pytest.raises(ValueError, match="not a snapshot"):
        from_json(data)

"""What an app that remembers nothing writes to its clients: every byte is what it was before a server could remember.

The bytes from before are in tests/fixtures/golden, with the dialogue that they are of, and how they were recorded.
"""

import importlib.util
import re
import zlib
from difflib import SequenceMatcher
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"
SESSION = re.compile(r',"session":"[A-Za-z0-9_-]{22}"')
WELCOMED = (
    *(
        "root",
        "red",
        "blue",
        "others",
        "mine",
        "none",
        "closed",
        "schema",
        "raw",
        "do",
        "waits",
        "handler",
        "ann",
        "bob",
    ),
    *("late", "undeclared", "gone", "packed"),
)
FAILED = '"error":{"code":"handler-failed","pointer":"","detail":"the server could not handle this message"'
SIGNAL = '{"signal":{"path":"/%s","value":%s}}'

# What clients of signalpost.v1 read otherwise today, besides the session in the welcome: the answers to messages with
# ref. Of each client what it read, and what it reads in that place.
ANSWERED = [
    ("root", [], ['{"ack":{"ref":1}}']),
    ("blue", [], ['{"ack":{"ref":"b"}}']),
    ("blue", [], ['{"ack":{"ref":2}}']),
    ("mine", [], ['{"ack":{"ref":3}}']),
    ("none", [], ['{"ack":{"ref":4}}']),
    ("do", [SIGNAL % ("do", '{"x":1}')], ['{"reply":{"ref":7,"value":{"x":1}}}']),
    # It replied and then failed: the first of both is the answer, and there is no second one.
    (
        "do",
        [SIGNAL % ("do", '"fail"'), "{{{},{}}}}}".format(FAILED, '"ref":8')],
        ['{"reply":{"ref":8,"value":"fail"}}'],
    ),
    ("waits", [SIGNAL % ("waits", '"w waited"')], ['{"reply":{"ref":9,"value":"w waited"}}']),
    (
        "handler",
        [SIGNAL % ("handler", '{"said":"h","keys":["message"]}')],
        ['{"reply":{"ref":10,"value":{"said":"h","keys":["message"]}}}'],
    ),
    ("packed", [], ['{"ack":{"ref":12}}']),
]


def dialogue():
    spec = importlib.util.spec_from_file_location("golden_dialogue", GOLDEN / "dialogue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
async def today():
    """Play the dialogue once with the server of today."""
    return await dialogue().play()


def lines_of(kind):
    """Give the golden lines; where another zlib compresses here, without those that are compressed."""
    first, *lines = (GOLDEN / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
    return lines, first == f"zlib {zlib.ZLIB_RUNTIME_VERSION}"


def comparable(lines, *, packed):
    return [line for line in lines if packed or " b'\\xc1" not in line]


def by_client(lines):
    """Give what each client of v1 read, in order."""
    read = {}
    for line in lines:
        name, _, frame = line.partition(".v1 ")
        read.setdefault(name, []).append(frame)
    return read


def text_of(frame):
    """Give the text of a frame, without its header: another text is of another length."""
    return re.search(r"[{].*[}]", frame)[0]


def differing(before, now, places):
    start, end, first, last = places
    return list(map(text_of, before[start:end])), list(map(text_of, now[first:last]))


async def test_plain_clients_of_an_app_that_remembers_nothing_read_every_byte_that_they_did(today):
    golden, packed = lines_of("plain")
    assert len(golden) > 700
    assert comparable(today["plain"], packed=packed) == comparable(golden, packed=packed)


async def test_clients_of_v1_read_every_byte_that_they_did_but_for_their_session_and_the_answers_to_ref(today):
    golden, packed = lines_of("v1")
    before, now = (by_client(comparable(lines, packed=packed)) for lines in (golden, today["v1"]))
    assert list(before) == list(now)
    welcomed, answers = [], []
    for name, frames in before.items():
        if '{"welcome":' in frames[1]:  # behind the head
            was, told = frames.pop(1), now[name].pop(1)
            assert len(SESSION.findall(told)) == 1
            assert text_of(SESSION.sub("", told)) == text_of(was)
            welcomed.append(name)
        for kind, *places in SequenceMatcher(None, frames, now[name], autojunk=False).get_opcodes():
            if kind != "equal":
                answers.append((name, *differing(frames, now[name], places)))
    assert tuple(welcomed) == WELCOMED
    assert answers == ANSWERED

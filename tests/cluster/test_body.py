"""Bodies: what one node writes, another reads, whatever it is; and what is none is no harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.cluster.body import publication_of, read_body, write_note, write_value
from signalpost.cluster.channels import channel_of, place_in, place_text, read_place
from signalpost.delivery.codec import PLAIN
from signalpost.delivery.publication import NO_PATH, Publication, RawPublication
from signalpost.delivery.target import ClientId, Target
from signalpost.paths import Apart

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
PATHS = NAMES.map(lambda name: f"/{name}")
PLACES = st.one_of(PATHS, st.builds(Apart, PATHS, st.lists(NAMES, min_size=1, max_size=3).map(tuple)))
IDS = NAMES.map(ClientId)
TARGETS = st.builds(
    Target,
    path=st.none() | PLACES,
    groups=st.none() | st.frozensets(NAMES, max_size=3),
    client=st.none() | IDS,
    excluding=st.none() | IDS,
    refusing=st.frozensets(NAMES, max_size=3),
    left_out=st.none() | NAMES,
    user=st.none() | NAMES,
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NAMES
JSON = st.recursive(LEAVES, st.lists, max_leaves=5)
PUBLICATIONS = st.builds(Publication, JSON, st.none() | PATHS, TARGETS, st.none() | PATHS)
NUMBERS = st.integers(0, 2**64 - 1)


def carried(publication, node=1, number=2):
    """Return a publication as another node reads it."""
    body = read_body(write_value(publication, node, number))
    assert (body.node, body.number) == (node, number)
    return publication_of(body, place_in(channel_of(publication.target)))


@given(PUBLICATIONS, NUMBERS, NUMBERS)
def test_a_value_is_what_it_was_with_its_target_and_where_it_came_from(sent, node, number):
    target = sent.target
    body = read_body(write_value(sent, node, number))
    assert (body.node, body.number) == (node, number)
    got = publication_of(body, place_in(channel_of(target)))
    assert (got.value, got.data, got.is_text, got.size) == (sent.value, sent.data, sent.is_text, sent.size)
    assert (got.target, got.origin, got.encoded(PLAIN)) == (target, sent.origin, sent.encoded(PLAIN))
    assert (got.path or NO_PATH) == (sent.path or NO_PATH)


@given(st.sampled_from([1, 2]), st.binary(max_size=40), PLACES)
def test_a_raw_frame_is_what_it_was(opcode, data, place):
    sent = RawPublication(opcode, data, None, Target(path=place), None)
    got = carried(sent)
    assert (got.is_raw, got.opcode, got.data, got.target) == (True, opcode, data, sent.target)


@given(st.dictionaries(NAMES, JSON, min_size=1, max_size=1), NUMBERS)
def test_a_note_is_what_it_was(note, number):
    body = read_body(write_note(note, 7, number))
    assert (body.note, body.node, body.number) == (note, 7, number)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_body_of_this_version_are_none_of_its_business(data):
    if data[:1] != b"\x01":
        assert read_body(data) is None


def test_a_value_for_a_path_as_a_whole_costs_eighteen_bytes_more():
    sent = Publication("hi", "/rooms/blue", Target(path="/rooms/blue"), "/rooms/blue")
    assert len(write_value(sent, 1, 2)) == 18 + len("hi")


@given(PLACES)
def test_a_place_is_the_same_after_it_was_written(place):
    assert read_place(place_text(place)) == place


@pytest.mark.parametrize(
    ("target", "channel"),
    [
        (Target(), "all"),
        (Target(path="/x"), "p:/x"),
        (Target(path="/x", groups=frozenset({"g"}), user="ann"), "p:/x"),
        (Target(user="ann", groups=frozenset({"g"})), "u:ann"),
        (Target(groups=frozenset({"g"})), "g:g"),
        (Target(groups=frozenset({"g", "h"})), "all"),
        (Target(client=ClientId("n30gkzsgx-abc"), path="/x"), "n:n30gkzsgx"),
    ],
)
def test_the_channel_is_the_narrowest_that_all_receivers_nodes_follow(target, channel):
    assert channel_of(target) == channel

"""The other nodes: which are there, and which have said nothing for too long."""

import orjson
import pytest

from signalpost.cluster.nodetable import NodeRecord, read_nodes, read_record
from signalpost.cluster.peers import LIFE, Peers


def record(beat, tag="nx"):
    return orjson.dumps(NodeRecord(node=7, host="h", process=1, beat=beat))


@pytest.fixture
def peers():
    return Peers()


def see(peers, table, passed=1.0, entered=None):
    return peers.see(table, {} if entered is None else entered, passed)


def test_a_node_whose_record_changes_is_never_dead(peers):
    for beat in range(100):
        for _ in range(3):
            assert see(peers, {"nx": record(beat)}) == ([], False)


def test_a_node_whose_record_is_the_same_is_dead_within_ten_seconds_of_the_last_change(peers):
    see(peers, {"nx": record(1)})
    seconds = 0
    while not see(peers, {"nx": record(1)}).dead:
        seconds += 1
        assert peers.left_behind({"nx": record(1)}) == []
    assert LIFE - 2 <= seconds + 1 <= LIFE
    assert peers.left_behind({"nx": record(1)}) == ["nx"]
    assert not peers.meet("nx")


def test_a_node_that_is_dead_is_found_dead_once(peers):
    see(peers, {"nx": record(1)})
    assert sum(bool(see(peers, {"nx": record(1)}).dead) for _ in range(100)) == 1


def test_a_node_whose_record_is_missing_is_dead_as_late_as_one_whose_record_is_the_same(peers):
    see(peers, {"nx": record(1)})
    dead = [see(peers, {}).dead for _ in range(10)]
    assert dead == [[]] * 8 + [["nx"]] + [[]]


def test_one_that_was_heard_of_and_never_read_is_believed_as_long(peers):
    assert peers.meet("nx")
    assert [bool(see(peers, {}).dead) for _ in range(10)].index(True) == 8
    assert not peers.meet("nx")


def test_a_reader_that_could_not_read_begins_to_count_anew(peers):
    see(peers, {"nx": record(1)})
    for _ in range(8):
        assert not see(peers, {"nx": record(1)}).dead
    peers.begin_anew()
    assert not any(see(peers, {"nx": record(1)}).dead for _ in range(8))


def test_one_that_was_taken_for_dead_is_back_with_another_record(peers):
    see(peers, {"nx": record(1)}, entered={"nx": b"1"})
    while not see(peers, {"nx": record(1)}, entered={"nx": b"1"}).dead:
        pass
    assert see(peers, {"nx": record(2)}, entered={"nx": b"1"}) == ([], True)
    assert peers.meet("nx")


def test_one_that_has_entered_anew_is_told_once(peers):
    see(peers, {"nx": record(1)}, entered={"nx": b"1"})
    assert see(peers, {"nx": record(1)}, entered={"nx": b"1"}) == ([], False)
    assert see(peers, {"nx": record(2)}) == ([], False)
    assert see(peers, {"nx": record(2)}, entered={"nx": b"2"}) == ([], True)
    assert see(peers, {"nx": record(2)}, entered={"nx": b"2"}) == ([], False)
    assert see(peers, {"nx": record(2)}, entered={"nx": b"3"}) == ([], True), "also if it was not seen without a mark"


def test_one_that_has_stopped_never_comes_back_by_a_record_that_was_under_way(peers):
    see(peers, {"nx": record(1)})
    assert peers.remove("nx", for_good=True)
    assert not peers.remove("nx", for_good=True)
    assert see(peers, {"nx": record(2)}) == ([], False)
    assert not peers.meet("nx")


def test_one_that_is_not_there_is_forgotten_in_the_end(peers):
    peers.remove("nx", for_good=True)
    for _ in range(100):
        see(peers, {})
    assert not peers._peers


def test_a_node_is_named_for_people_and_numbered_for_nodes(peers):
    peers.meet("ny")
    see(peers, {"nx": record(1)})
    assert (peers.name("nx"), peers.number("nx")) == ("nx (process 1 on h)", 7)
    assert (peers.name("ny"), peers.number("ny")) == ("ny", None)


def test_only_a_node_with_both_marks_has_entered_all():
    table = {"nx": b"", "nx begun": b"", "nx all": b"4", "ny": b"", "ny all": b"1", "nz": b"", "nz begun": b""}
    nodes = read_nodes(table)
    assert (set(nodes.records), nodes.entered) == ({"nx", "ny", "nz"}, {"nx": b"4"})


def test_a_record_of_another_version_is_read_as_far_as_it_is_known():
    assert read_record(b'{"beat":3,"colour":"blue"}') == NodeRecord(beat=3)

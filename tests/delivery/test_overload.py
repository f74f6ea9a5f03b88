"""What waits for all clients together, and who goes when it is too much."""

import pytest

from signalpost.delivery.overload import Backlog, ShedLog
from signalpost.memory import default_inbound, default_outboxes, memory_limits
from signalpost.websocket.frames import CloseCode

GIB = 1 << 30
LINE = "clients dropped with 4008, the slowest first: %d; more than 512MiB waited for all together (limits.outboxes)"


class Weight:
    def __init__(self, waiting):
        self.waiting = waiting


def loaded(most, *weights):
    backlog, clients = Backlog(most), [Weight(each) for each in weights]
    for client in clients:
        backlog.note_waiting(client, client.waiting)
    return backlog, clients


class TestLoad:
    def test_the_heaviest_go_until_the_rest_is_not_too_much(self):
        backlog, (a, b, c, d) = loaded(50, 10, 40, 30, 20)
        assert backlog.over
        assert backlog.take_heaviest() == [b, c]
        assert (backlog.total, backlog.over) == (30, False)
        a.waiting = 31
        backlog.note_waiting(a, 31)
        assert backlog.take_heaviest() == [a]
        assert backlog.total == d.waiting

    def test_nobody_goes_for_what_has_been_read_since(self):
        backlog, (a, b) = loaded(50, 40, 40)
        a.waiting = 5
        assert backlog.take_heaviest() == []
        assert backlog.total == a.waiting + b.waiting

    def test_a_client_for_whom_nothing_waits_is_forgotten(self):
        backlog, (a,) = loaded(50, 40)
        backlog.note_waiting(a, 0)
        backlog.note_waiting(a, 0)
        assert (backlog.total, backlog._shares) == (0, {})

    def test_without_a_bound_nothing_is_too_much(self):
        backlog, _ = loaded(None, GIB, GIB)
        assert not backlog.over
        assert backlog.take_heaviest() == []


class TestHub:
    @pytest.mark.parametrize("tls", [False, True])
    def test_the_slowest_are_dropped_first_and_the_others_stay(self, new_world, signal, tls):
        world = new_world(outboxes=100_000)
        reading = world.connect(limit=1 << 20)
        slow, slower, slowest = (world.connect(path, limit=1 << 20, tls=tls) for path in ("/1", "/2", "/3"))
        for peer, count in ((slow, 1), (slower, 2), (slowest, 3)):
            for _ in range(count):
                peer.client.send(signal("s", 22_000).of(peer.client.encoding))
        world.turn.end()
        assert slowest.client.close_code == CloseCode.TOO_SLOW
        assert [peer.transport.ended for peer in (slow, slower, slowest)] == ["", "", "aborted"]
        assert world.hub._backlog.total == slow.client.waiting + slower.client.waiting <= 100_000
        world.broadcast(signal("all", 22_000))
        reading.read_everything()
        world.turn.end()
        assert [peer.transport.ended for peer in (reading, slow, slower)] == ["", "", "aborted"]

    def test_what_is_read_and_who_leaves_weighs_no_more(self, new_world, signal):
        world = new_world(outboxes=1 << 20)
        a, b = world.connect(limit=1 << 20), world.connect(limit=1 << 20)
        world.broadcast(signal("s", 50_000))
        world.turn.end()
        assert world.hub._backlog.total == a.client.waiting + b.client.waiting > 0
        a.read_everything()
        b.client.drop(CloseCode.KICKED)
        assert world.hub._backlog.total == 0

    def test_many_can_go_at_once(self, new_world, signal):
        shed = []
        world = new_world(outboxes=50_000, shed=shed.append)
        peers = [world.connect(limit=1 << 20, tls=True) for _ in range(300)]
        world.broadcast(signal("s", 9_990))
        world.turn.end()
        assert sum(not peer.transport.ended for peer in peers) == 5
        assert len(world.hub.clients) == 5
        assert shed == [295]


def test_the_log_says_how_many_were_dropped_a_line_a_second(caplog):
    later = []
    shed = ShedLog(GIB // 2, lambda _, tell: later.append(tell))
    shed(1)
    shed(300)
    shed(2)
    later.pop()()
    assert caplog.messages == [LINE % 1, LINE % 302]


class TestMemory:
    def machine(self, root, groups, **limits):
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(groups)
        for path, limit in limits.items():
            file = root / "sys/fs/cgroup" / path.replace("__", "/")
            file.mkdir(parents=True, exist_ok=True)
            for name in ("memory.max", "memory.limit_in_bytes"):
                (file / name).write_text(f"{limit}\n")
        return root

    def test_a_limit_holds_for_the_groups_below_it(self, tmp_path):
        root = self.machine(tmp_path, "0::/app/web\n", app="100000", app__web="max")
        assert list(memory_limits(root))[1:] == [100_000]
        assert default_outboxes(root) == 25_000

    def test_the_old_kind_of_groups_is_read_too(self, tmp_path):
        root = self.machine(tmp_path, "4:cpu,cpuacct:/x\n3:memory:/box\n0::/\n", memory__box="80000", memory="90000")
        assert list(memory_limits(root))[1:] == [80_000, 90_000]

    def test_in_a_container_the_hosts_path_leads_nowhere_but_the_top_is_there(self, tmp_path):
        root = self.machine(tmp_path, "0::/kubepods/pod/abc\n")
        (root / "sys/fs/cgroup").mkdir(parents=True)
        (root / "sys/fs/cgroup/memory.max").write_text("40000")
        assert default_outboxes(root) == 10_000

    def test_without_groups_outboxes_have_a_quarter_of_the_machine_and_at_most_one_gibibyte(self, tmp_path):
        (machine,) = memory_limits(tmp_path)
        assert default_outboxes(tmp_path) == min(GIB, machine // 4)

    def test_what_comes_in_has_a_quarter_of_the_memory_and_at_most_half_a_gibibyte(self, tmp_path):
        (machine,) = memory_limits(tmp_path)
        assert default_inbound(tmp_path) == min(GIB // 2, machine // 4)
        root = self.machine(tmp_path / "box", "0::/app\n", app="100000")
        assert default_inbound(root) == 25_000

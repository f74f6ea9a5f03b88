"""What seldom happens, counted."""

from signalpost.monitoring.occurrences import Occurrences
from signalpost.observe import Observer


class Hearing(Observer):
    def __init__(self):
        self.heard = []

    def __getattribute__(self, name):
        if name in vars(Observer) and not name.startswith("_"):
            return lambda *_, **__: self.heard.append(name)
        return super().__getattribute__(name)


CALLS = {
    "connected": ("id", "/chat"),
    "rejected": ("live", 403),
    "identified": ("user",),
    "limited": ("handshakes", "live"),
    "disconnected": ("id", "/chat", 1000),
    "dropped": ("id", "/chat", 4008),
    "missed": ("id", "/chat", "slow"),
    "kicked": (4009, 3),
    "feed_connected": ("prices",),
    "feed_lost": ("prices",),
    "reloaded": (1, 0),
    "reload_failed": (),
}


def test_everything_is_counted_and_passed_on():
    program = Hearing()
    found = Occurrences(program)
    for name, arguments in CALLS.items():
        getattr(found, name)(*arguments)
    found.job_ran("tick", 0.25, failed=False)
    found.job_ran("tick", 0.5, failed=True)
    found.feed_handled("prices", 2.0, failed=True)
    passed_on = [*CALLS, "job_ran", "job_ran", "feed_handled"]
    assert program.heard == passed_on
    # Each message and publication reaches the program's observer by a shorter way.
    assert {name for name in vars(Observer) if not name.startswith("_")} - set(passed_on) == {"received", "published"}
    assert found.handshakes == {"accepted": 1, "403": 1}
    assert found.identities == {"user": 1}
    assert found.limits == {"handshakes": 1}
    assert found.disconnected_clients == {"1000": 1}
    assert found.dropped_clients == {"4008": 1}
    assert found.gaps == {"slow": 1, "lost": 0, "too-old": 0}
    assert found.kicked_clients == {"4009": 3}
    assert found.jobs == {("tick", "done"): 1, ("tick", "failed"): 1}
    assert found.job_seconds == {"tick": 0.75}
    assert found.feeds == {("prices", "failed"): 1}
    assert found.feed_losses == {"prices": 1}
    assert found.connected_feeds == set()
    assert found.reloads == {"done": 1, "failed": 1}


def test_codes_of_a_peers_own_choice_are_one_label():
    found = Occurrences()
    for code in (1000, 3000, 3999, 4000, 4999, 4008):
        found.disconnected("id", "/chat", code)
    assert found.disconnected_clients == {"1000": 1, "other": 4, "4008": 1}

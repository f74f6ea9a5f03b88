"""Runs the Autobahn test suite against signalpost, one group of cases after the other, and says what came of it.

A case passes strictly when the suite finds its behaviour and its close both in order. Some cases have no right answer,
and are only for information: they are counted, and pass. Exit status 0 is: every case of the groups ran and passed, and
the server logged nothing.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cases import VERSION, fetch, load_cases, number_of
from player import play

ROUTES = Path(__file__).with_name("routes.yaml")
URLS = {"plain": "ws://127.0.0.1:9001", "secure": "wss://127.0.0.1:9002"}  # as in ROUTES
READY = "Ctrl-C"

GROUPS: Mapping[str, tuple[int, str]] = {
    "1": (16, "framing"),
    "2": (11, "pings and pongs"),
    "3": (7, "reserved bits"),
    "4": (10, "opcodes"),
    "5": (20, "fragmentation"),
    "6": (145, "UTF-8"),
    "7": (37, "closing"),
    "9": (54, "limits and speed"),
    "10": (1, "auto-fragmentation"),
    "12": (90, "compression"),
    "13": (126, "compression with parameters"),
}
"""How many cases a group has in this version of the suite, and what they are about."""

IN_ORDER = frozenset({"OK", "INFORMATIONAL"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite found in one case: words of its own, such as OK, NON-STRICT, FAILED, UNIMPLEMENTED.

    Attributes:
        behavior: of what was sent and received.
        close: of how the connection ended.

    """

    behavior: str
    close: str

    @property
    def strict(self) -> bool:
        """Whether everything was in order."""
        return self.behavior in IN_ORDER and self.close in IN_ORDER

    @property
    def informational(self) -> bool:
        """Whether the case has no right answer."""
        return "INFORMATIONAL" in {self.behavior, self.close}

    def __str__(self) -> str:
        return self.behavior if self.behavior == self.close else f"{self.behavior}, closed: {self.close}"


Verdicts = dict[str, Verdict]
"""By the number of the case, such as ``6.22.34``."""


def in_order(verdicts: Verdicts) -> Verdicts:
    """Sort cases as the suite counts them: 7.9.1 comes before 7.10."""
    return dict(sorted(verdicts.items(), key=lambda row: [int(part) for part in row[0].split(".")]))


def read_saved(text: str) -> Verdicts:
    """Read what `written` gave."""
    return {number: Verdict(*row) for number, row in json.loads(text).items()}


def written(verdicts: Verdicts) -> str:
    """Write verdicts as JSON, a line for each case."""
    rows = (f'  "{number}": {json.dumps([found.behavior, found.close])}' for number, found in verdicts.items())
    return "{\n" + ",\n".join(rows) + "\n}\n"


def table(verdicts: Verdicts, groups: Sequence[str]) -> tuple[str, bool]:
    """Count by groups, and name what did not pass; tell whether all of it did, and every case ran."""
    lines = ["| group | about | cases | strictly passed | of them for information |", "|---|---|---|---|---|"]
    of_group: dict[str, list[Verdict]] = {group: [] for group in groups}
    for number, verdict in verdicts.items():
        of_group[number.split(".")[0]].append(verdict)
    total, passed, informational = 0, 0, 0
    for group, found in of_group.items():
        (expected, about), counts = GROUPS[group], Counter(verdict.strict for verdict in found)
        information = sum(verdict.informational for verdict in found)
        lines.append(f"| {group} | {about} | {expected} | {counts[True]} | {information} |")
        total, passed, informational = total + expected, passed + counts[True], informational + information
    lines.append(f"| all | | {total} | {passed} | {informational} |")
    lines += [f"{number}: {verdict}" for number, verdict in verdicts.items() if not verdict.strict]
    if len(verdicts) != total:
        lines.append(f"{len(verdicts)} cases ran of {total}")
    return "\n".join(lines), passed == total == len(verdicts)


def save(file: Path, verdicts: Verdicts) -> None:
    """Add verdicts to a file; those of other cases stay."""
    before = read_saved(file.read_text()) if file.exists() else {}
    file.write_text(written(in_order(before | verdicts)))


@contextmanager
def server(log: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run signalpost as its users do; what it says goes to `log`.

    Raises:
        SystemExit: it did not start.

    """
    command = [sys.executable, "-m", "signalpost", "run", "--no-watch", str(ROUTES)]
    with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as app:
        try:
            if app.stdout is None or not any(READY in line for line in app.stdout):
                raise SystemExit(f"signalpost did not start:\n{log.read_text()}")
            yield app
        finally:
            app.send_signal(signal.SIGTERM)


def run_group(cases: Sequence[type], group: str, url: str) -> Verdicts:
    """Play the cases of a group, one after the other."""
    chosen = [case for case in cases if number_of(case).startswith(f"{group}.")]
    return in_order({number_of(case): Verdict(*asyncio.run(play(case, url))) for case in chosen})


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, help=f"the unpacked source of {VERSION}; pip fetches it otherwise")
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="all, unless told")
    parser.add_argument("--tls", action="store_true", help="the endpoint that speaks wss")
    parser.add_argument("--save", type=Path, help="a file for the verdicts, as JSON; those of other groups in it stay")
    options = parser.parse_args()
    verdicts: Verdicts = {}
    with tempfile.TemporaryDirectory() as scratch:
        cases = load_cases(options.suite or fetch(Path(scratch)))
        log = Path(scratch) / "server.log"
        with server(log) as app:
            for group in options.groups:
                print(f"group {group}: {GROUPS[group][0]} cases of {GROUPS[group][1]}", file=sys.stderr, flush=True)
                url = URLS["secure" if options.tls else "plain"]
                found = run_group(cases, group, url)
                if app.poll() is not None:
                    raise SystemExit(f"signalpost ended too early, with {app.returncode}:\n{log.read_text()}")
                verdicts |= found
                if options.save is not None:
                    save(options.save, found)
        logged = log.read_text()
    text, fine = table(verdicts, options.groups)
    print(text)
    if logged:
        print(f"the server logged:\n{logged}")
    return 0 if fine and not logged else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long commands take to begin, beside a Python that does nothing.

::

    python tests/bench/startup.py               # twenty rounds, half a minute
    python tests/bench/startup.py --rounds 5

Each round starts everything once, in turn. A figure is the median of the rounds: seconds on the clock, seconds of CPU,
and how many times the CPU of `python -c pass` in the same round. `run` serves the demo at free ports, and is
done when it has printed where it listens. It exits 1 if a command took longer than it may, which only means something
on a quiet machine.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

DEMO = Path(__file__).parents[2] / "routes.yaml"
PYTHON = (sys.executable, "-c", "pass")
COMMAND = (sys.executable, "-m", "signalpost")
CASES = {
    "python -c pass": PYTHON,
    "--version": (*COMMAND, "--version"),
    "--help": (*COMMAND, "--help"),
    "check": (*COMMAND, "check", str(DEMO)),
    "routes": (*COMMAND, "routes", str(DEMO)),
    "reference": (*COMMAND, "reference"),
    "run": (*COMMAND, "run", "--no-watch", str(DEMO)),
}
ALLOWED = {"--version": 0.2, "check": 0.6, "run": 1.0}
"""Seconds on the clock that a command may take."""
SERVES = b"Ctrl-C stops"


def measured(command: tuple[str, ...]) -> tuple[float, float]:
    """Run a command until it ends, or serves; return its seconds on the clock and of CPU."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        for line in process.stdout:
            if SERVES in line:
                break
        else:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            return wall, usage.ru_utime + usage.ru_stime
        wall = time.perf_counter() - begin
        cpu = cpu_of(process.pid)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    return wall, cpu


def cpu_of(process: int) -> float:
    """Return the seconds of CPU that a process has taken until now."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Run every case once a round, after one round that only warms up; an app of its own for each."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for number in range(rounds + 1):
        for name, command in CASES.items():
            free = ("--port", "0") if name == "run" else ()
            found = measured((*command, *free))
            if number:
                figures[name].append(found)
    return figures


def table(figures: dict[str, list[tuple[float, float]]]) -> str:
    """Return the figures as a table."""
    nothing = [cpu for _, cpu in figures["python -c pass"]]
    lines = [f"{'':<16}{'clock s':>10}{'CPU s':>10}{'times python -c pass':>24}"]
    for name, found in figures.items():
        ratio = median(cpu / floor for (_, cpu), floor in zip(found, nothing, strict=True))
        wall, cpu = (median(column) for column in zip(*found, strict=True))
        lines.append(f"{name:<16}{wall:>10.3f}{cpu:>10.3f}{ratio:>24.1f}")
    return "\n".join(lines)


def too_slow(figures: dict[str, list[tuple[float, float]]]) -> list[str]:
    """Return what took longer than it may."""
    return [
        f"{name} took {took:.2f} s, and may take {allowed} s"
        for name, allowed in ALLOWED.items()
        if (took := median(wall for wall, _ in figures[name])) > allowed
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        figures = measure(parser.parse_args().rounds)
    print(table(figures))
    if slow := too_slow(figures):
        sys.exit("\n".join(slow))


if __name__ == "__main__":
    main()

"""Asks pip-audit whether a pinned dependency is known to be vulnerable; needs pip-audit beside this Python.

    python tests/ci/audit.py requirements.lock

The exit code is 1 if one is. Where the service cannot be asked, that is said in a line, and nothing fails.
"""

import json
import subprocess
import sys
from typing import Any

_TIMEOUT = 120  # seconds


def main(lock: str) -> int:
    """Audit a lock file; return the exit code."""
    try:
        found = _dependencies(lock)
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        return _say(f"{lock} is not audited: pip-audit has no answer ({type(error).__name__})", 0)
    vulnerable = [each for each in found if each.get("vulns")]
    for each in vulnerable:
        ids = ", ".join(str(vulnerability["id"]) for vulnerability in each["vulns"])
        _say(f"{lock}: {each['name']} {each['version']} is vulnerable: {ids}", 1)
    skipped = [each["name"] for each in found if "skip_reason" in each]
    if skipped:
        _say(f"{lock}: {len(skipped)} of {len(found)} are not audited: the service does not know them", 0)
    if vulnerable or len(skipped) == len(found):
        return 1 if vulnerable else 0
    return _say(f"{lock}: {len(found) - len(skipped)} audited, none known to be vulnerable", 0)


def _dependencies(lock: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--no-deps", "--disable-pip"]
    command += ["--require-hashes", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    answer = json.loads(done.stdout)["dependencies"]
    if not isinstance(answer, list):
        raise TypeError("no list of dependencies")
    return answer


def _say(text: str, code: int) -> int:
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

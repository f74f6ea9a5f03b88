"""The page for users (core/docs/contract.md): what it shows is what is printed."""

import re
from pathlib import Path

from signalpost.cli.types import types_text

PAGE = (Path(__file__).parents[2] / "core" / "docs" / "contract.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLIENT = """\
declare function connect<S>(url: string): {
  open<P extends keyof S>(path: P, params: S[P] extends { params: infer Q } ? Q : never): {
    send(message: S[P] extends { sends: infer M } ? M : never): void;
  };
};
"""


def test_the_types_that_the_page_shows_are_those_of_its_app_and_its_program_compiles(tsc, load):
    (app, shown, program, *_) = [
        text for language, text in FENCE.findall(PAGE) if language in ("yaml", "console", "ts")
    ]
    made = types_text(load(app))
    assert shown == f"$ signalpost types\n{made}"
    found = tsc(signals=made, program=program.replace("type Read", f"{CLIENT}export type Read"))
    assert found == []
    wrong = program.replace("type Read", f"{CLIENT}export type Read").replace('"hello"', "5")
    assert [file for file, _, _ in tsc(signals=made, program=wrong)] == ["program"]

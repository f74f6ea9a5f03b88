"""``signalpost new``: a first app, and the schema beside it for editors.

The app is the demo of this repository, or one of the cookbook with a page for it. The content of that page is in
``starters/``, with what all pages share, and with the app's plugins. The cookbook's YAML is for clients of any kind, so
the routes of the page are added here. Secrets are made anew for each app (`signalpost.cli.newsecrets`). The files of a
plugin are templates in ``starters/plugin``.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from html import unescape
from pathlib import Path
from runpy import run_path
from string import Template
from textwrap import indent
from typing import NamedTuple

from signalpost import __version__
from signalpost.cli.newsecrets import Passwords, fill
from signalpost.config import COOKBOOK
from signalpost.errors import OperatorError

DEMO = "demo"
"""The default app."""

_PARTS = ("routes.yaml", "plugins", "web")
_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent.parent
_STARTERS = _PACKAGE / "starters"
_OF_THE_DEMO = ("icon.svg",)
_OF_ALL = ("page.css", "page.js")
_OF_SOME = ("cards.css", "cards.js", "chart.js")  # which others name
_OF_ONE = ("app.css", "app.js")
_PAGE = "index.html"
_SECRETS = Path("secrets.yaml")
_SECRETS_TEMPLATE = "secrets.yaml.in"
_UNKNOWN_TO_GIT = f"{_SECRETS}\n"
_INDENT = " " * 6  # content of a page
_STATES = {"connecting": "Connecting", "idle": "Not connected"}  # text of the page before it is connected

_FIRST_LINE = "# yaml-language-server: $schema=./.signalpost/routes.schema.json\n#\n"
_ENDPOINT = "  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}\n"
_ROUTES = """\
  - {path: /, file: web/index.html}
  - {path: /assets, static: web}
  - {path: /signalpost.js, client: true}
"""
_FRONT = re.compile(r"---\n(.*?)---\n", re.DOTALL)


def starters() -> dict[str, str]:
    """Return the starters: a name, and a line of description; the demo first."""
    found = {DEMO: "The chat page, plugins, timers and a view; so without --from"}
    for main in sorted(_STARTERS.glob("*/main.html")):
        found[main.parent.name] = unescape(_read_main(main.parent)[0]["description"])
    return found


def _read_main(starter: Path) -> tuple[dict[str, str], str]:
    """Return the content of a starter's page: the fields between its ``---`` by name, and the HTML after them."""
    text = (starter / "main.html").read_text(encoding="utf-8")
    front = _FRONT.match(text)
    if front is None:
        raise OperatorError(f"{starter}/main.html begins without ---: this installation of signalpost is broken")
    said = dict(line.split(": ", 1) for line in front[1].splitlines())
    return said, text[front.end() :]


def _page(starter: Path) -> str:
    """Return the page of a starter."""
    said, main = _read_main(starter)
    state = said.get("state", "connecting")
    frame = Template((_STARTERS / "page.html").read_text(encoding="utf-8"))
    return frame.substitute(said, name=starter.name, state=state, shown=_STATES[state], main=indent(main, _INDENT))


class NewApp(NamedTuple):
    """An app that was created.

    Attributes:
        files: relative to its folder.
        passwords: by the name of who signs in with it; they are kept nowhere.
    """

    files: list[Path]
    passwords: Passwords


def create_app(folder: Path, starter: str = DEMO) -> NewApp:
    """Create an app in a new or empty folder.

    Args:
        folder: for the app.
        starter: one of `starters`.

    Raises:
        OperatorError: the folder is not empty, or cannot be written.
    """
    from signalpost.cli.schema import SCHEMA_FILE, app_schema, write_schema

    source = find_starter()
    contents: dict[Path, Path | str] = dict(_demo(source) if starter == DEMO else _with_page(starter, source))
    passwords: Passwords = {}
    template = _STARTERS / starter / _SECRETS_TEMPLATE
    if template.exists():
        contents[_SECRETS], passwords = fill(template.read_text(encoding="utf-8"), _hash_of(template.parent))
        contents[Path(".gitignore")] = _UNKNOWN_TO_GIT
    _fill(folder, contents)
    write_schema(folder, app_schema(folder / "routes.yaml"))
    return NewApp([SCHEMA_FILE, *contents], passwords)


def _hash_of(starter: Path) -> Callable[[str, bytes], str]:
    """Return the function by which a starter's plugin hashes passwords, so that it stands in one place."""
    found: Callable[[str, bytes], str] = run_path(str(starter / f"{starter.name}.py"))["hashed"]
    return found


def create_plugin(folder: Path) -> list[Path]:
    """Create an installable plugin in a new or empty folder; return the created files, relative to it.

    Raises:
        OperatorError: the folder is not empty, cannot be written, or its name is invalid for a package.
    """
    files = _plugin_files(folder)
    _fill(folder, files)
    return list(files)


def _fill(folder: Path, contents: Mapping[Path, Path | str]) -> None:
    """Write files, each a text or a copy of another file, into a folder that has none yet."""
    try:
        _check_empty(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not its mode: installed files may be read-only. And no file that was created there meanwhile.
            with open(target, "xb", opener=partial(os.open, mode=0o600 if name == _SECRETS else 0o666)) as file:
                file.write(content.encode() if isinstance(content, str) else content.read_bytes())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        at = "" if error.filename in (None, str(folder)) else f" ({error.filename})"
        raise OperatorError(f"the folder {folder} cannot be made: {reason}{at}") from None


def _check_empty(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()):
            raise OperatorError(f"the folder {folder} is not empty: name one that is, or that is not there yet")
    elif folder.exists() or folder.is_symlink():
        raise OperatorError(f"{folder} is there already, and no folder: choose another name")


def find_starter() -> Path:
    """Find the demo: inside an installed package, or the checkout that an editable install points to.

    The checkout comes first: an editable install may contain a stale copy.
    """
    for candidate in (_CHECKOUT, _PACKAGE / "starter"):
        if all((candidate / name).exists() for name in _PARTS) and _is_ours(candidate):
            return candidate
    raise OperatorError("this installation of signalpost lacks its starter app: install it again")


def _is_ours(candidate: Path) -> bool:
    """Distinguish the checkout from any other folder that contains an installed package."""
    return candidate.name == "starter" or (candidate / "core" / "signalpost").resolve() == _PACKAGE


def _demo(source: Path) -> Mapping[Path, Path]:
    return {name: source / name for name in sorted(_files(source))}


def _files(source: Path) -> Iterator[Path]:
    """Yield the files of the demo, relative to it, without files that Python and editors create."""
    for part in _PARTS:
        for path in (source / part, *(source / part).rglob("*")):
            name = path.relative_to(source)
            if path.is_file() and path.suffix != ".pyc" and not any(each.startswith(".") for each in name.parts):
                yield name


def _with_page(name: str, demo: Path) -> Mapping[Path, Path | str]:
    own = _STARTERS / name
    found: dict[str, Path | str] = {
        _PAGE: _page(own),
        **{file: demo / "web" / file for file in _OF_THE_DEMO},
        **{file: _STARTERS / file for file in _OF_ALL},
        **{file: own / file for file in _OF_ONE},
    }
    for file in _OF_SOME:
        named = f'"./{file}"'
        if any(isinstance(each, Path) and named in each.read_text(encoding="utf-8") for each in tuple(found.values())):
            found[file] = _STARTERS / file
    text = (COOKBOOK / f"{name}.yaml").read_text(encoding="utf-8")
    return {
        Path("routes.yaml"): _serving_a_page(text),
        **{Path("plugins", file.name): file for file in sorted(own.glob("*.py"))},
        **{Path("web", file): found[file] for file in sorted(found)},
    }


def _serving_a_page(text: str) -> str:
    """Return an app of the cookbook with the routes of its page, and an endpoint for them if it has none."""
    if "protocol: http" not in text:
        text = text.replace("endpoints:\n", f"endpoints:\n{_ENDPOINT}", 1)
    if "\nroutes:\n" in text:
        text = text.replace("\nroutes:\n", f"\nroutes:\n{_ROUTES}", 1)
    else:
        text = text.replace("\nsignals:\n", f"\nroutes:\n{_ROUTES}signals:\n", 1)
    return _FIRST_LINE + text


_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.IGNORECASE)
_PREFIX = "signalpost-"


def _plugin_files(folder: Path) -> dict[Path, str]:
    """Return the files of a plugin that is named after its folder, relative to it.

    Raises:
        OperatorError: the folder's name is invalid for a package.
    """
    called = folder.resolve().name
    if not _NAME.fullmatch(called):
        raise OperatorError(
            f'"{called}" is no name for a package: letters and digits, with hyphens between them, as in signalpost-chat'
        )
    name = called.lower().replace("_", "-").removeprefix(_PREFIX)
    identifier = name.replace("-", "_")
    package, module = _PREFIX + name, f"signalpost_{identifier}"
    words = {"package": package, "name": name, "identifier": identifier, "module": module, "version": __version__}
    made = {
        Path("README.md"): "README.md.in",
        Path("pyproject.toml"): "pyproject.toml.in",
        Path(module, "__init__.py"): "module.py.in",
        Path("tests", f"test_{identifier}.py"): "test.py.in",
    }
    texts = {file: (_STARTERS / "plugin" / name).read_text(encoding="utf-8") for file, name in made.items()}
    return {file: Template(text).substitute(words) for file, text in texts.items()} | {Path(module, "py.typed"): ""}

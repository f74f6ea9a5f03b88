"""The Jinja2 templates of views: one environment for an app's folder, and the check of a template.

Templates are named from the app's folder (the folder of routes.yaml), in ``{% extends %}`` and ``{% include %}`` too:
``{% extends "web/base.html" %}``. Values are escaped as HTML everywhere except in ``.txt`` templates; an undefined name
is an error instead of an empty string; the sandbox prevents a template from changing its values.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import (
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    Undefined,
    nodes,
    select_autoescape,
)
from jinja2.environment import Environment
from jinja2.sandbox import ImmutableSandboxedEnvironment

from signalpost.existence import is_file, is_folder, is_there
from signalpost.foreign import contained
from signalpost.scalars import key_of
from signalpost.words import did_you_mean, quoted

PLAIN_TEXT = ("txt",)

_Reference = nodes.Extends | nodes.Include | nodes.Import | nodes.FromImport


@dataclass(frozen=True, slots=True)
class Additions:
    """What plugins add to templates.

    Attributes:
        names: additional names for every template.
        filters: by name.
    """

    names: Mapping[str, Any] = field(default_factory=dict)
    filters: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


NO_ADDITIONS = Additions()


_KEYS = " keys"  # a filter that no template can name


class _Keys:
    """The operand of ``in`` for a mapping: its keys, where a number matches the key that is its text."""

    __slots__ = ("_mapping",)

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        self._mapping = mapping

    def __contains__(self, key: object) -> bool:
        return key in self._mapping or key_of(key) in self._mapping

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return the operand of ``in`` for a value."""
        return cls(value) if isinstance(value, Mapping) else value


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox; numbers match keys of mappings by their text, as in all other templates."""

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return ``obj[argument]``."""
        found = super().getitem(obj, argument)
        if isinstance(found, Undefined) and isinstance(obj, Mapping) and (text := key_of(argument)) in obj:
            return obj[text]
        return found

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Parse a template, in which ``in`` treats numbers as `getitem` does."""
        tree = super()._parse(source, name, filename)
        for compare in tree.find_all(nodes.Compare):
            for operand in compare.ops:
                if operand.op in {"in", "notin"}:
                    operand.expr = nodes.Filter(operand.expr, _KEYS, [], [], None, None, lineno=compare.lineno)
                    operand.expr.set_environment(self)
        return tree


def environment(
    folder: Path, additions: Additions = NO_ADDITIONS, kept: Mapping[str, str] | None = None
) -> Environment:
    """Return a Jinja2 environment whose templates are the files below `folder`.

    Args:
        folder: of the app.
        additions: of plugins.
        kept: texts of templates by name, which are fixed. Any other one that changes on disk is compiled again
            at its next use.
    """
    made = _Environment(
        loader=_Loader(folder, kept or {}),
        autoescape=select_autoescape(disabled_extensions=PLAIN_TEXT, default=True, default_for_string=True),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    made.filters[_KEYS] = _Keys.of
    made.tests["in"] = lambda value, others: value in _Keys.of(others)
    made.globals.update(additions.names)
    # Jinja2 calls a filter of constants during compilation, and only an `Exception` prevents that.
    made.filters.update({name: contained(function) for name, function in additions.filters.items()})
    return made


class _Loader(FileSystemLoader):
    """Loads templates from a folder, except those whose texts it received."""

    def __init__(self, folder: Path, kept: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._kept = kept

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Return a template's text, its file, and a check whether that text is still current."""
        text = self._kept.get(template)
        if text is None:
            return super().get_source(environment, template)
        return text, os.path.join(self.searchpath[0], template), lambda: True  # noqa: PTH118 - as Jinja2 names it


def template_name(path: Path, folder: Path) -> str:
    """Return a template's name: ``web/hello.html``.

    Raises:
        ValueError: the file is not below `folder`; the text is one line for the author of routes.yaml.
    """
    try:
        return Path(os.path.normpath(path)).relative_to(os.path.normpath(folder)).as_posix()
    except ValueError:
        raise ValueError(f"{path}: a template must be below the folder of routes.yaml") from None


def check_template(path: Path, folder: Path, additions: Additions | None = NO_ADDITIONS) -> str | None:
    """Compile a template, and every template that it names, without rendering any.

    Args:
        path: the template; absolute, or relative to the working folder, like `folder`.
        folder: the app's folder, the root of all template names.
        additions: of plugins; None while they are unknown, so that any filter may be one of theirs.

    Returns:
        The first problem as one line, ``web/hello.html:3: no filter "uper"; did you mean "upper"?``; None if there is
        none.
    """
    return read_templates(path, folder, additions)[0]


def read_templates(
    path: Path, folder: Path, additions: Additions | None = NO_ADDITIONS
) -> tuple[str | None, Mapping[str, str]]:
    """Do the same as `check_template`; return its result, and the texts of all checked templates by name."""
    try:
        name = template_name(path, folder)
    except ValueError as error:
        return str(error), {}
    check = _Check(environment(folder, additions or NO_ADDITIONS), folder, any_filter=additions is None)
    return check.run(name), check.texts


def template_digests(path: Path, folder: Path) -> dict[Path, str]:
    """Return the file of a template, and of every template it names, each with a digest of its current content.

    The first arguments are those of `check_template`; a file that cannot be read has an empty digest.
    """
    try:
        name = template_name(path, folder)
    except ValueError:
        return {}
    check = _Check(environment(folder), folder, any_filter=True)
    check.run(name)
    return {folder / each: _digest(folder / each) for each in sorted(check.seen)}


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


class _Check:
    """Checks a template and all that it names.

    Args:
        env: compiles them.
        folder: of the templates.
        any_filter: whether a filter may have any name.

    Attributes:
        seen: names of the templates that were checked.
        texts: of those of them that could be read, by name.
    """

    def __init__(self, env: Environment, folder: Path, *, any_filter: bool) -> None:
        self._env = env
        self._folder = folder
        self._any_filter = any_filter
        self.seen: set[str] = set()
        self.texts: dict[str, str] = {}

    def run(self, name: str) -> str | None:
        """Return the first problem; None if there is none."""
        self.seen.add(name)
        try:
            self.texts[name] = _read(self._env, self._folder, name)
            tree = self._env.parse(self.texts[name], name)
            for node, text in self._unknown(tree):
                return f"{name}:{node.lineno}: {text}"
            self._env.compile(tree, name)
        except TemplateSyntaxError as error:
            return f"{error.name or name}:{error.lineno}: {_one_line(error.message or 'it is not a template')}"
        except UnicodeDecodeError as error:
            return f"{name}: it is not UTF-8 text (byte {error.start})"
        except OSError as error:
            return f"{name}: {(error.strerror or 'it cannot be read').lower()}"
        except RecursionError:
            return f"{name}: it is nested too deeply"
        except SyntaxError as error:  # of the Python that Jinja2 generates: more than twenty nested blocks
            return f"{name}: {_one_line(error.msg)}"
        for reference in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
            problem = self._reference(name, reference)  # type: ignore[arg-type]
            if problem:
                return problem
        return None

    def _unknown(self, tree: nodes.Template) -> Iterator[tuple[nodes.Filter | nodes.Test, str]]:
        """Find filters and tests that do not exist; a filter that may be a plugin's is replaced by another one."""
        if self._any_filter:
            for node in tree.find_all(nodes.Filter):
                node.name = node.name if node.name in self._env.filters else next(iter(self._env.filters))
        return unknown_filters(self._env, tree)

    def _reference(self, name: str, reference: _Reference) -> str | None:
        """Check the templates named by `{% extends %}` and similar tags, as far as they are literal."""
        wanted = list(_constants(reference.template))
        found = [other for other in wanted if _exists(self._env, self._folder, other)]
        if wanted and not found and not getattr(reference, "ignore_missing", False):
            return f"{name}:{reference.lineno}: {_missing(wanted[0], self._folder)}"
        for other in found:
            if other not in self.seen:
                problem = self.run(other)
                if problem:
                    return problem
        return None


def unknown_filters(env: Environment, tree: nodes.Template) -> Iterator[tuple[nodes.Filter | nodes.Test, str]]:
    """Yield each filter and test that does not exist, with words about it.

    Jinja2 itself reports some only when they are used.
    """
    found: Iterable[nodes.Filter | nodes.Test] = tree.find_all((nodes.Filter, nodes.Test))
    for node in sorted(found, key=lambda node: node.lineno):
        kind, known = ("filter", env.filters) if isinstance(node, nodes.Filter) else ("test", env.tests)
        if node.name not in known:
            near = did_you_mean(node.name, [name for name in known if name != _KEYS])
            yield node, f"no {kind} {quoted(node.name)}{near}"


def _constants(template: nodes.Expr) -> Iterator[str]:
    """Yield the literal names in a reference: one, or those of a list; none for an expression."""
    parts = template.items if isinstance(template, nodes.List | nodes.Tuple) else [template]
    if all(isinstance(part, nodes.Const) for part in parts):
        yield from (part.value for part in parts if isinstance(part, nodes.Const) and isinstance(part.value, str))


def _exists(env: Environment, folder: Path, name: str) -> bool:
    try:
        _read(env, folder, name)
    except OSError:
        return False
    except UnicodeDecodeError:
        return True
    return True


def _read(env: Environment, folder: Path, name: str) -> str:
    """Read a template's text.

    Raises:
        OSError: there is no such file below `folder`.
        UnicodeDecodeError: it is not text.
    """
    try:
        text, _, _ = FileSystemLoader(folder).get_source(env, name)
    except TemplateNotFound:
        # Report the reason instead of the fact: it may be a folder, or not readable for us.
        if ".." not in name.split("/"):
            path = folder / name
            if is_there(path) and not is_file(path) and not is_folder(path):  # a pipe or a device might never end
                raise OSError(errno.EINVAL, "it is not a file") from None
            path.read_bytes()
        raise FileNotFoundError(2, "no such file") from None
    return text


def _missing(name: str, folder: Path) -> str:
    text = f'no template "{name}" (templates are named from the folder of routes.yaml)'
    return text + did_you_mean(name, _siblings(name, folder))


def _siblings(name: str, folder: Path) -> Sequence[str]:
    """Return what exists beside `name`, and under the same file name anywhere one folder down."""
    parent = Path(name).parent
    if parent.is_absolute() or ".." in parent.parts:
        return ()
    places = [folder / parent, *(child for child in _listed(folder) if is_folder(child))]
    return [file.relative_to(folder).as_posix() for place in places for file in _listed(place) if is_file(file)]


def _listed(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except (OSError, ValueError):
        return ()


def _one_line(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line[:1].lower() + line[1:]

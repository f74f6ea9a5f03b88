"""Sanic's functions without its events: nobody listens to those, and they are a tenth of a request.

Sanic compiles them away itself (TOUCHUP), but in its own classes, which belong to every app of the process. Here the
classes that are ours get copies.
"""

import ast
from collections.abc import Callable
from inspect import getsource
from textwrap import dedent
from typing import Any, TypeVar, cast

from sanic.touchup.schemes.ode import RemoveDispatch

F = TypeVar("F", bound=Callable[..., Any])


def without_events(function: F) -> F:
    """Return a copy of one of Sanic's functions that dispatches no events, or the function where it has no source."""
    try:
        source = getsource(function)
    except OSError:
        return function
    tree = RemoveDispatch([]).visit(ast.parse(dedent(source)))
    found: dict[str, Any] = {}
    exec(compile(tree, function.__code__.co_filename, "exec"), function.__globals__, found)  # noqa: S102 - as Sanic does
    return cast("F", found[function.__name__])

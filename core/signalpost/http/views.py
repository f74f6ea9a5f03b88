"""Views: Jinja2 templates that answer a request.

A template sees, besides what Jinja2 has of its own:

=========== ===================================================================================================== name
holds =========== =====================================================================================================
`params`    the parameters of the route's path: ``{{ params.name }}`` `request`   a `ViewRequest`: ``{{
request.query.get("page", "1") }}`` `path`      the requested path, percent-decoded `now`       the moment of the
answer, aware, in the server's zone: ``{{ now.strftime("%H:%M") }}`` `state`     the mapping that all handlers of the
server share; a template cannot change it `settings`  of plugins, by plugin name: ``{{ settings.clock.format }}``
`constants` of routes.yaml: ``{{ constants.title }}`` ===========
=====================================================================================================

and the names and filters that plugins add (`signalpost.plugins.hookspecs.template_globals`, `template_filters`).
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateSyntaxError

from signalpost.config.viewtemplates import NO_ADDITIONS, Additions, environment, read_templates, template_name
from signalpost.errors import OperatorError
from signalpost.fields import join_fields, read_query
from signalpost.foreign import named
from signalpost.http.files import content_type
from signalpost.http.request import WebRequest


class ViewRequest:
    """What a template sees of the request; created on access.

    Args:
        request: Sanic's.

    Attributes:
        method: ``GET`` or ``HEAD``, unless the route says otherwise.
    """

    def __init__(self, request: WebRequest) -> None:
        self._request = request
        self.method = request.method

    @cached_property
    def query(self) -> Mapping[str, Any]:
        """The first value of each parameter, or the result of the route's schema for queries."""
        typed = self._request.typed_query
        return read_query(self._request.query_string) if typed is None else typed

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name; values of repeated headers are joined by commas, cookies by semicolons."""
        return join_fields(self._request.headers.items())

    @cached_property
    def peer(self) -> tuple[str, int]:
        """The client's address and port, or an empty string and 0."""
        return self._request.ip, self._request.port

    @cached_property
    def scheme(self) -> str:
        """``http`` or ``https``, as the client requested."""
        return self._request.scheme

    @cached_property
    def host(self) -> str:
        """The host that the client requested, perhaps with a port."""
        return self._request.host


class ViewError(OperatorError):
    """A template failed while it was rendered. Its text, ``web/hello.html:3: …``, is only for the log."""


@dataclass(frozen=True, slots=True)
class View:
    """A compiled template. Create one with `load`.

    Attributes:
        name: of the template, from the app's folder.
        content_type: of its output, by the template's file name.
    """

    name: str
    content_type: str
    _folder: Path
    _template: Template

    @classmethod
    def load(cls, path: Path, folder: Path, additions: Additions = NO_ADDITIONS) -> "View":
        """Compile the template at `path` and every template it names; `additions` are what plugins add.

        It is rendered as it was then: later changes apply when the app is reloaded, and not if the reload is rejected.
        Only templates named by an expression are read during rendering.

        Raises:
            OperatorError: it cannot be used; one line with file and line.
        """
        problem, texts = read_templates(path, folder, additions)
        if problem:
            raise OperatorError(problem)
        env = environment(folder, additions, texts)
        name = template_name(path, folder)
        template = env.get_template(name)
        template.globals = dict(template.globals)  # Jinja2 copies them for each response, and has a chain of mappings
        return cls(name, content_type(path), folder, template)

    def render(self, names: Mapping[str, Any]) -> str:
        """Render the template.

        Raises:
            ViewError: a name is undefined, or the template failed in another way.
        """
        try:
            return self._template.render(names)
        except BaseException as error:  # a plugin's function or object may raise anything
            raise ViewError(f"{self._place(error)}: {named(error)}") from error

    def _place(self, error: BaseException) -> str:
        """Return template and line of a failure: the innermost line of a template that was running."""
        if isinstance(error, TemplateSyntaxError):
            return f"{error.name or self.name}:{error.lineno}"
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = Path(frame.filename)
            # Jinja2 names its frames after templates; a plugin that a template calls is Python.
            if path.suffix != ".py" and path.is_relative_to(self._folder):
                return f"{path.relative_to(self._folder).as_posix()}:{frame.lineno}"
        return self.name

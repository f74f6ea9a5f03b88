"""An app's folder, and what its routes.yaml is told."""

import textwrap

import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.errors import ConfigError

ENDPOINTS = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
"""


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "web").mkdir()
    (folder / "plugins").mkdir()
    (folder / "web" / "index.html").write_text("<h1>hi</h1>")
    (folder / "web" / "hello.html").write_text("<h1>hi {{ params.name }}</h1>")
    (folder / "web" / "broken.html").write_text("{% if %}")
    return folder


@pytest.fixture(scope="session")
def config(app):
    """Read a file that is sound; two endpoints stand before it unless it has its own."""

    def read(text):
        return parse_config(_whole(text), file="routes.yaml", folder=app, actions=BUILT_IN)

    return read


@pytest.fixture(scope="session")
def problems(app):
    """Read a file that is not sound, and return its problems without the file's name."""

    def read(text):
        with pytest.raises(ConfigError) as caught:
            parse_config(_whole(text), file="routes.yaml", folder=app, actions=BUILT_IN)
        found = caught.value.problems
        assert [(each.line, each.column) for each in found] == sorted((each.line, each.column) for each in found)
        assert all("\n" not in str(each) for each in found)
        return [str(each).removeprefix("routes.yaml:") for each in found]

    return read


def _whole(text):
    text = textwrap.dedent(text)
    return text if "endpoints:" in text else ENDPOINTS + text

"""Constants: what routes.yaml says once for all its templates, and the way of a secret into them."""

import httpx
import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app, serve

SECRET = "abcdefghijklmnopqrstuvwxyz0123456789"
APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
constants: {title: "The lounge", colours: [red, blue], token: !secret token, text: "{{ 7 * 7 }}"}
routes:
  - {path: /page, view: page.html}
  - {path: /do, method: POST, do: [{respond: {text: "{{ constants.title }}"}}]}
signals:
  - {path: /title, do: [{reply: {value: "{{ constants.title }}: {{ constants.colours | join('/') }}"}}]}
  - {path: /text, do: [{reply: {value: "{{ constants.text }}"}}]}
  - path: /login
    do:
      - if: "{{ message == constants.token }}"
        then: [{reply: {value: welcome}}]
        else: [{reply: {value: "no"}}]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secrets.yaml").write_text(f"token: {SECRET}\n")
    (tmp_path / "page.html").write_text("<h1>{{ constants.title }}</h1>")
    return tmp_path


async def test_templates_of_all_kinds_read_constants_and_a_text_in_a_constant_is_no_template(folder, ask):
    async with (
        serve(APP, folder=folder) as app,
        app.connect("/title") as title,
        app.connect("/text") as text,
    ):
        await title.send("hi")
        assert await title.receive() == "The lounge: red/blue"
        await text.send("hi")
        assert await text.receive() == "{{ 7 * 7 }}"
        assert (await ask(app, "/do")).text == "The lounge"
        async with httpx.AsyncClient(base_url=app.url("web")) as client:
            assert (await client.get("/page")).text == "<h1>The lounge</h1>"


def test_what_looks_like_a_template_in_a_constant_is_noted(folder):
    (note,) = (note for note in load_app(APP, folder).notes if "no template" in note)
    assert note.endswith(": constants.text is plain text: no template is rendered here")


async def test_a_secret_is_compared_without_lying_in_the_state(folder):
    async with serve(APP, folder=folder) as app, app.connect("/login") as client:
        for message, answer in (("guess", "no"), (SECRET, "welcome")):
            await client.send(message)
            assert await client.receive() == answer
        assert dict(app.server.node.state) == {}


async def test_a_reload_brings_other_constants(folder):
    async with serve(APP, folder=folder) as app, app.connect("/title") as client:
        await app.reload(APP.replace("The lounge", "The attic"))
        await client.send("hi")
        assert await client.receive() == "The attic: red/blue"


def test_an_unknown_constant_is_found_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match='constants has no "titel"; did you mean "title"'):
        load_app(
            """
            endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
            constants: {title: x}
            signals: [{path: /, do: [{log: "{{ constants.titel }}"}]}]
            """,
            tmp_path,
        )


@pytest.mark.parametrize("value", ["5", "[a]", "text"])
def test_constants_are_a_mapping(tmp_path, value):
    text = f"endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]\nconstants: {value}\n"
    with pytest.raises(ConfigError, match="constants: must be a mapping"):
        load_app(text, tmp_path)

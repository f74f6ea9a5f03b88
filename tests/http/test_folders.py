"""A static folder beside routes of its own path: the routes win, the folder has the rest."""

import httpx
import pytest

from signalpost.testing import load_app, serve

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: other, address: 127.0.0.1, port: 0, protocol: http}
    routes:
      - {path: /, static: public, endpoint: web}
      - {path: /, view: index.html, endpoint: web}
      - {path: /docs, file: index.html}
      - {path: /docs, static: public}
      - {path: /docs, method: POST, do: [{respond: {text: posted}}]}
      - {path: /head, static: public}
      - {path: /head, method: HEAD, do: [{respond: {status: 204}}]}
      - {path: /bound, static: public}
      - {path: /some, static: public}
      - {path: /some, view: index.html, endpoint: other}
"""
PLUGIN = """
    from signalpost import route

    @route("bound", path="/bound", methods=("GET",))
    async def bound(event):
        return "bound"

    @route("greedy", path="/bound/<rest:path>", methods=("GET",))
    async def greedy(event):
        return "greedy"
"""


@pytest.fixture(scope="module")
async def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "public").mkdir()
    (folder / "index.html").write_text("route {{ path }}")
    (folder / "public" / "index.html").write_text("folder")
    (folder / "public" / "a.txt").write_text("text")
    async with serve(APP, folder=folder, plugins={"shop": PLUGIN}) as app:
        yield app


@pytest.fixture
def ask(app):
    async def run(method, path, endpoint="web"):
        async with httpx.AsyncClient(follow_redirects=True) as browser:
            return await browser.request(method, app.url(endpoint) + path)

    return run


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "route /"),
        ("/index.html", "folder"),
        ("/a.txt", "text"),
        ("/docs", "route {{ path }}"),
        ("/docs/a.txt", "text"),
        ("/bound", "bound"),
        ("/head", "folder"),
        ("/some", "folder"),
    ],
)
async def test_a_route_of_a_folders_own_path_wins_and_the_folder_has_the_rest(ask, path, text):
    answer = await ask("GET", path)
    assert (answer.status_code, answer.text) == (200, text)


async def test_a_route_wins_with_its_methods_and_at_its_endpoints_only(ask):
    assert (await ask("POST", "/docs")).text == "posted"
    assert (await ask("HEAD", "/head")).status_code == 204
    assert (await ask("GET", "/some", "other")).text == "route /some"
    assert (await ask("GET", "/some/a.txt", "other")).text == "text"


async def test_a_decorator_does_not_take_what_is_in_a_folder_of_the_file(ask, tmp_path):
    assert (await ask("GET", "/bound/a.txt")).text == "text"
    (tmp_path / "public").mkdir()
    (tmp_path / "index.html").touch()
    notes = load_app(APP, tmp_path, {"shop": PLUGIN}).notes
    assert [note for note in notes if "greedy" in note and "left out" in note]

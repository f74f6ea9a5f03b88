"""What core/docs/security.md shows is right, and its table of limits is whole."""

import re
from pathlib import Path

import pytest

from signalpost.actions.builtin import routes_schema
from signalpost.errors import ConfigError
from signalpost.testing import load_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "core" / "docs" / "security.md").read_text(encoding="utf-8")
MAY = PAGE[PAGE.index("## Who may what") : PAGE.index("## Sessions")]
APP, PROOFS = re.findall(r"(?ms)^```yaml\n(.*?)^```$", MAY)
ENDPOINTS = (
    "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}, "
    "{name: web, address: 127.0.0.1, port: 0, protocol: http}]\n"
)
NEWS = "{path: /news, rebroadcast: none, may: {connect: anyone}}"


@pytest.fixture
def load(tmp_path):
    """Load an app that has a secret."""
    (tmp_path / "secrets.yaml").write_text("jwt: " + "x" * 32)
    (tmp_path / "secrets.yaml").chmod(0o600)
    return lambda text: load_app(ENDPOINTS + text, tmp_path)


def with_proofs():
    """Return the app that is shown, with the proofs that are shown."""
    auth, rest = APP.split("undeclared:")
    assert PROOFS.startswith(auth)
    assert NEWS in rest
    return PROOFS + "undeclared:" + rest


def test_the_app_that_is_shown_is_right(load):
    plan = load(APP)
    assert [str(rule.config.path) for rule in plan.signals] == ["/rooms/<room>", "/news"]
    plan.registry.unload()


def test_its_proofs_find_the_hole_that_is_shown(load, tmp_path):
    shown = re.search(r"^routes.yaml:.*: eve can publish on .*$", MAY, re.MULTILINE)[0]
    with pytest.raises(ConfigError) as found:
        load(with_proofs())
    assert str(found.value).replace(f"{tmp_path}/", "") == shown


CLOSED = re.search(r"^`(\{path: /news, .*\})` the proofs hold", MAY, re.MULTILINE)[1]


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        pytest.param(NEWS, CLOSED, id="as the page says"),
        pytest.param("rebroadcast: none, may", "rebroadcast: none, targets: [], may", id="targets of the other path"),
        pytest.param(
            "    rebroadcast: path\n", "    rebroadcast: path\n    from_elsewhere: false\n", id="from_elsewhere"
        ),
        pytest.param("    may:\n", "    may:\n      target: nobody\n", id="target"),
    ],
)
def test_what_is_said_to_close_a_way_closes_it(load, opened, closed):
    text = with_proofs()
    assert opened in text
    load(text.replace(opened, closed)).registry.unload()


def test_each_limit_has_its_row():
    explained = set(re.findall(r"`limits\.(\w+)`", PAGE[PAGE.index("## Each limit") :]))
    assert explained >= set(routes_schema()["properties"]["limits"]["properties"])


def test_each_verb_has_its_row():
    verbs = routes_schema()["$defs"]["signal"]["properties"]["may"]["properties"]
    assert set(re.findall(r"^\| `(\w+)` \|", MAY, re.MULTILINE)) >= set(verbs)

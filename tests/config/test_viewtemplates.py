"""What is wrong with a template is said before anybody asks for it, with file and line."""

import os

import pytest

from signalpost.config.viewtemplates import Additions, check_template, environment, template_digests, template_name


@pytest.fixture
def check(tmp_path):
    """Write the first file, and others beside it, and check it."""

    def run(source, **others):
        (tmp_path / "web").mkdir(exist_ok=True)
        for name, text in {"page": source, **others}.items():
            path = tmp_path / "web" / f"{name}.html"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return check_template(tmp_path / "web" / "page.html", tmp_path)

    return run


def test_a_sound_template_has_nothing_wrong(check):
    assert check("<h1>{{ params.name | title }}</h1>{% for x in state.list %}{{ x }}{% endfor %}") is None


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("<p>\n{{ name }", "web/page.html:2: unexpected '}'"),
        ("\n\n{{ x | uper }}", 'web/page.html:3: no filter "uper"; did you mean "upper"?'),
        ("{% if x is primal %}{% endif %}", 'web/page.html:1: no test "primal"'),
        ("{{ 1 in x | keys }}", 'web/page.html:1: no filter "keys"'),
        ("{% for x in y %}", "web/page.html:1: unexpected end of template"),
        ("a\n{% nonsense %}", "web/page.html:2: encountered unknown tag 'nonsense'"),
        (b"\xff\xfe", "web/page.html: it is not UTF-8 text (byte 0)"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "web/page.html: too many statically nested blocks"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "web/page.html: it is nested too deeply"),
    ],
    ids=["brace", "filter", "test", "keys", "end", "tag", "encoding", "blocks", "depth"],
)
def test_a_mistake_is_told_with_its_line(check, source, problem):
    assert check(source).startswith(problem)


@pytest.mark.parametrize(
    "reference",
    ['{% extends "web/bse.html" %}', '{% include "web/bse.html" %}', '{% import "web/bse.html" as x %}'],
)
def test_a_missing_template_is_told_with_the_nearest_name(check, reference):
    assert check(f"\n{reference}", base="base") == (
        'web/page.html:2: no template "web/bse.html" (templates are named from the folder of routes.yaml); '
        'did you mean "web/base.html"?'
    )


def test_a_template_that_is_named_from_beside_it_is_told_its_full_name(check):
    assert check('{% extends "base.html" %}', base="base").endswith('did you mean "web/base.html"?')


def test_a_pipe_in_place_of_an_included_template_is_not_waited_for(check, tmp_path):
    (tmp_path / "web").mkdir()
    os.mkfifo(tmp_path / "web" / "part.html")
    assert check('\n{% include "web/part.html" %}').startswith('web/page.html:2: no template "web/part.html"')


def test_a_mistake_in_an_included_template_is_told_at_its_own_place(check):
    assert check('{% include "web/part.html" %}', part="\n\n{{ x | upcase }}").startswith(
        'web/part.html:3: no filter "upcase"'
    )


def test_what_may_be_missing_may_be_missing(check):
    assert (
        check('{% include "web/none.html" ignore missing %}{% include ["web/no.html", "web/part.html"] %}', part="")
        is None
    )
    assert check("{% include chosen %}{% include ['a', chosen] %}") is None
    assert "no template" in check('{% include ["web/no.html", "web/none.html"] %}')


def test_templates_that_include_each_other_are_checked_once(check):
    assert check('{% include "web/part.html" %}', part='{% include "web/page.html" %}') is None


def test_a_template_outside_the_folder_is_refused(tmp_path):
    for path in (tmp_path / ".." / "other.html", tmp_path.parent / "other.html"):
        assert check_template(path, tmp_path).endswith("a template must be below the folder of routes.yaml")


def test_a_template_that_is_not_there_is_told(tmp_path):
    assert check_template(tmp_path / "none.html", tmp_path) == "none.html: no such file or directory"
    (tmp_path / "folder").mkdir()
    assert check_template(tmp_path / "folder", tmp_path) == "folder: is a directory"


@pytest.mark.parametrize("name", ["../secret.html", "/etc/passwd", "web/../../secret.html"])
def test_no_reference_leads_out_of_the_folder(tmp_path, name):
    app = tmp_path / "app"
    app.mkdir()
    (tmp_path / "secret.html").write_text("secret")
    (app / "page.html").write_text(f'{{% include "{name}" %}}')
    assert f'no template "{name}"' in check_template(app / "page.html", app)


def test_values_are_escaped_but_in_plain_text(tmp_path):
    for name in ("a.html", "a.txt", "a.j2", "a"):
        (tmp_path / name).write_text("{{ x }}")
    env = environment(tmp_path)
    texts = {name: env.get_template(name).render(x="<&>") for name in ("a.html", "a.j2", "a", "a.txt")}
    assert texts == {"a.html": "&lt;&amp;&gt;", "a.j2": "&lt;&amp;&gt;", "a": "&lt;&amp;&gt;", "a.txt": "<&>"}


def test_a_template_is_named_from_the_folder(tmp_path):
    assert template_name(tmp_path / "web" / ".." / "web" / "a.html", tmp_path) == "web/a.html"


def test_as_long_as_nobody_knows_what_plugins_add_any_filter_may_be_theirs(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("{{ x | theirs }}{% include 'part.html' %}")
    (tmp_path / "part.html").write_text("{% if x is theirs %}{% endif %}")
    assert 'part.html:1: no test "theirs"' in check_template(page, tmp_path, additions=None)
    (tmp_path / "part.html").write_text("{{ y | thiers }}")
    assert check_template(page, tmp_path, additions=None) is None
    found = check_template(page, tmp_path, Additions(filters={"theirs": str}))
    assert found == 'part.html:1: no filter "thiers"; did you mean "theirs"?'
    assert set(template_digests(page, tmp_path)) == {page, tmp_path / "part.html"}


def test_what_plugins_add_is_there(tmp_path):
    (tmp_path / "page.html").write_text("{{ station | shout }} {{ twice(2) }}")
    added = Additions({"station": "york", "twice": lambda n: 2 * n}, {"shout": str.upper})
    assert environment(tmp_path, added).get_template("page.html").render() == "YORK 4"

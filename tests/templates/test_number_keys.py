"""Numbers as keys: JSON's mappings have texts as keys, so a number finds what stands at its text."""

import httpx
import pytest

COUNTS = """
signals:
  - path: /room/<n:int>
    do:
      - set: {"count.{{ params.n }}": "{{ (state.count[params.n] | default(0)) + 1 }}"}
      - reply: {value: "{{ state.count[params.n] }}"}
"""


async def test_a_count_by_a_number_of_the_path_counts(live):
    async with live(COUNTS) as app, app.connect("/room/7") as client:
        for expected in ("1", "2", "3"):
            await client.send("up")
            assert await client.receive() == expected
        assert app.server.node.state["count"] == {"7": 3}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("data.votes[3]", "three"),
        ("data.votes[data.n]", "three"),
        ("data.votes[2.5]", "two and a half"),
        ("data.votes[4] | default('none')", "none"),
        ("data.votes[true] | default('none')", "none"),
        ("3 in data.votes", True),
        ("data.n in data.votes", True),
        ("4 in data.votes", False),
        ("4 not in data.votes", True),
        ("3 not in data.votes", False),
        ("3 is in(data.votes)", True),
        ("[{'n': 3}, {'n': 4}] | selectattr('n', 'in', data.votes) | list | count", 1),
        ("'3' in data.votes", True),
        ("'b' in 'abc'", True),
        ("2 in data.items", True),
        ("3 in data.items", False),
        ("{3: 'exact', '3': 'text'}[3]", "exact"),
        ("data.votes | map(attribute='x', default=1) | list | count", 2),
    ],
)
def test_a_number_finds_what_stands_at_its_text(render, expression, value):
    data = {"votes": {"3": "three", "2.5": "two and a half"}, "n": 3, "items": [1, 2]}
    assert render(f"{{{{ {expression} }}}}", data=data) == value


async def test_a_mapping_of_the_state_that_a_number_has_picked_stays_as_it_was(live):
    signals = """
signals:
  - path: /
    do:
      - set: {"by.{{ message }}.a": 1}
      - set: {kept: "{{ state['by'][message] }}"}
      - set: {"by.{{ message }}.b": 2}
      - reply: {value: ["{{ state.kept }}", "{{ state.by[message] }}"]}
"""
    async with live(signals) as app, app.connect("/") as client:
        await client.send(5)
        assert await client.receive_json() == [{"a": 1}, {"a": 1, "b": 2}]


async def test_a_view_finds_what_stands_at_the_text_of_a_number(site, tmp_path):
    (tmp_path / "page.html").write_text("{{ state.count[params.n] | default(0) }}")
    routes = """
routes:
  - {path: "/page/<n:int>", view: page.html}
  - {path: "/up/<n:int>", method: POST, do: [{set: {"count.{{ params.n }}": 4}}]}
"""
    async with site(routes, folder=tmp_path) as app, httpx.AsyncClient(base_url=app.url("web")) as client:
        await client.post("/up/7")
        assert [(await client.get(f"/page/{n}")).text for n in (7, 8)] == ["4", "0"]

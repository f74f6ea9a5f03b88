"""``!include`` and ``!include_dir``: what they make, and where they may lead."""

import os

import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import load_config
from signalpost.errors import ConfigError
from signalpost.yaml.bounds import MAX_CHARACTERS, MAX_FILES, MAX_NODES
from signalpost.yaml.nodes import plain
from signalpost.yaml.surroundings import Surroundings
from signalpost.yaml.tree import read_tree

ENDPOINTS = "endpoints: [{name: live, address: 127.0.0.1, port: 8091, protocol: ws}]\n"


@pytest.fixture
def write(tmp_path):
    """Write files below the app's folder."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def read(tmp_path):
    """Read a text as routes.yaml in the app's folder."""

    def read(text, environment=None):
        return read_tree(text, "app/routes.yaml", Surroundings(tmp_path, "app/routes.yaml", environment or {}))

    return read


@pytest.fixture
def value(read):
    def value(text, environment=None):
        tree = read(text, environment)
        assert [fault.words("") for fault in tree.faults] == []
        return plain(tree.root)

    return value


@pytest.fixture
def faults(read):
    """Return each fault as file:offset and words."""

    def faults(text):
        tree = read(text)
        return [
            (tree.documents[each.span.document].place(each.span.start), each.words("EARLIER")) for each in tree.faults
        ]

    return faults


def test_a_file_stands_where_it_is_included(write, value):
    write(a="[1, 2]", deep__b="x: !include a.yaml\ny: 3", c="# nothing")
    assert value("a: !include a.yaml\nb: !include deep/b.yaml\nc: !include c.yaml") == {
        "a": [1, 2],
        "b": {"x": [1, 2], "y": 3},
        "c": None,
    }
    assert value("!include a.yaml") == [1, 2]
    assert value("- !include deep/b.yaml\n- 5") == [{"x": [1, 2], "y": 3}, 5]


def test_a_file_may_be_named_by_a_variable_and_merged_and_anchored(write, value):
    write(dev="a: 1\nb: 2")
    assert value("!include ${STAGE:-dev}.yaml") == {"a": 1, "b": 2}
    assert value("<<: !include '${STAGE}.yaml'\na: 3", {"STAGE": "dev"}) == {"a": 3, "b": 2}
    assert value("a: &x !include dev.yaml\nb: *x")["b"] == {"a": 1, "b": 2}


def test_what_cannot_be_merged_is_told_once(faults):
    ((_, words),) = faults("<<: !include none.yaml")
    assert words == 'no file "none.yaml" in the folder of routes.yaml'
    assert "give it an alias" in faults("<<: 5")[0][1]


def test_the_lists_of_a_folder_are_put_one_behind_the_other_by_name(write, value):
    write(signals__b="[3]", signals__a="[1, 2]", signals__more__0="[4]", signals__z="# nothing")
    (write() / "signals" / "README.md").write_text("no YAML: {")
    (write() / "signals" / ".hidden.yaml").write_text("[9]")
    assert value("signals: !include_dir signals") == {"signals": [1, 2, 3, 4]}


def test_a_fault_in_a_folder_has_the_keys_of_the_whole(write, read):
    write(s__a="[1, 2]", s__b="[3, !x 4, [!y 5]]")
    tree = read("signals: !include_dir s")
    assert [fault.keys for fault in tree.faults] == [("signals", 3), ("signals", 4, 0)]
    assert plain(tree.root) == {"signals": [1, 2, 3, 4, [5]]}


def test_the_mappings_of_a_folder_are_put_together(write, value):
    write(settings__clock="clock: {format: x}", settings__bell="bell: {loud: true}")
    assert value("!include_dir settings") == {"bell": {"loud": True}, "clock": {"format": "x"}}


def test_a_key_of_two_files_is_a_fault_that_names_both(write, faults):
    write(s__a="x: 1\npath: /a", s__b="path: /b")
    ((place, words),) = faults("signals: !include_dir s")
    assert place == "app/s/b.yaml:1"
    assert words.startswith('the key "path" stands in two files of the folder (first in EARLIER); where each file is')


def test_files_of_a_folder_hold_the_same(write, faults):
    write(s__a="[1]", s__b="x: 1", s__c="5")
    assert [place for place, _ in faults("signals: !include_dir s")] == ["app/s/b.yaml:1", "app/s/c.yaml:1"]
    assert 'this is a mapping, and "s/a.yaml" holds a list' in faults("signals: !include_dir s")[0][1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("!include b.yaml", 'no file "b.yaml" in the folder of routes.yaml'),
        ("!include sub/a.yml", 'no file "sub/a.yml" in the folder of routes.yaml; did you mean "sub/a.yaml"?'),
        ("!include", "a name is missing, as in !include signals.yaml"),
        ("!include_dir", "a name is missing, as in"),
        ("!include sub", '"sub" is a folder: write !include_dir sub'),
        ("!include_dir sub/a.yaml", '"sub/a.yaml" is a file: write !include sub/a.yaml'),
        ("!include_dir sup", 'no folder "sup" in the folder of routes.yaml; did you mean "sub"?'),
        ("!include_dir empty", 'the folder "empty" holds no YAML file'),
        ("!include notes.txt", '"notes.txt" is no YAML file by its name (allowed: .yaml, .yml)'),
        ('!include "a\\0.yaml"', "no null characters"),
        (f"!include {'x' * 300}.yaml", "file name too long"),
        ("!include [a]", "!include stands before a name, not before a list or a mapping"),
        ("!incldue a.yaml", 'no tag "!incldue"; did you mean "!include"? (known: !include, !include_dir, !secret)'),
        ("!lambda x", 'no tag "!lambda" (known: !include, !include_dir, !secret); a text that starts with !'),
        ("!!str 5", "leave out !!str"),
        ("{!include sub/a.yaml : 1}", "tags are not read in keys: leave out !include"),
        ("!include ../x.yaml", "only what lies below the folder of routes.yaml is included"),
        ("!include sub/../sub/a.yaml", "only what lies below the folder of routes.yaml is included"),
        ("!include /etc/hosts.yaml", "only what lies below the folder of routes.yaml is included"),
        ("!include ~/x.yaml", "only what lies below the folder of routes.yaml is included"),
        ("!include_dir ..", "only what lies below the folder of routes.yaml is included"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_included_has_words(write, faults, text, says):
    folder = write(sub__a="1")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("x")
    assert says in faults(f"- {text}")[0][1]


def test_no_symbolic_link_leads_out(write, faults, value, tmp_path_factory):
    folder = write(inside__a="[1]")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.yaml").write_text("[2]")
    (folder / "file.yaml").symlink_to(outside / "x.yaml")
    (folder / "folder").symlink_to(outside)
    (folder / "mixed").mkdir()
    (folder / "mixed" / "x.yaml").symlink_to(outside / "x.yaml")
    (folder / "linked").mkdir()
    (folder / "linked" / "more").symlink_to(folder / "inside")
    for text in ("!include file.yaml", "!include folder/x.yaml", "!include_dir folder", "!include_dir mixed"):
        ((_, words),) = faults(text)
        assert "leads elsewhere by a symbolic link" in words
    assert "is a symbolic link, and such are not followed here" in faults("!include_dir linked")[0][1]
    assert value("!include linked/more/a.yaml") == [1]


def test_folders_are_read_as_kubernetes_mounts_them(write, value):
    mounted = write() / "signals"
    (mounted / "..2026").mkdir(parents=True)
    (mounted / "..2026" / "a.yaml").write_text("[1]")
    (mounted / "..data").symlink_to("..2026")
    (mounted / "a.yaml").symlink_to("..data/a.yaml")
    assert value("- !include signals/a.yaml\n- !include_dir signals") == [[1], [1]]


def test_a_symbolic_link_to_nothing_is_told_from_nothing(write, faults):
    (write() / "a.yaml").symlink_to("b.yaml")
    assert faults("!include a.yaml")[0][1] == (
        'no file "a.yaml" in the folder of routes.yaml, but a symbolic link that leads nowhere'
    )
    (write() / "b.yaml").symlink_to("a.yaml")
    assert "leads nowhere" in faults("!include_dir a.yaml")[0][1]


def test_what_is_no_file_is_not_waited_for(write, faults):
    os.mkfifo(write() / "pipe.yaml")
    assert faults("!include pipe.yaml")[0][1] == '"pipe.yaml" is not a file'


def test_a_cycle_is_named_in_full(write, faults):
    folder = write(a="x: !include b.yaml", b="- !include c.yaml", c="!include a.yaml", routes="a: !include a.yaml")
    (folder / "again.yaml").symlink_to(folder / "a.yaml")
    assert faults("a: !include a.yaml") == [
        ("app/c.yaml:1", "a file cannot include itself: a.yaml -> b.yaml -> c.yaml -> a.yaml")
    ]
    assert "itself: again.yaml -> b.yaml -> c.yaml -> a.yaml" in faults("!include again.yaml")[0][1]
    assert faults("a: !include routes.yaml")[0][1] == "a file cannot include itself: routes.yaml -> routes.yaml"
    assert "itself: routes.yaml -> routes.yaml" in faults("a: !include_dir .")[-1][1]


def test_one_file_may_be_included_twice(write, value):
    write(a="x: !include b.yaml\ny: !include b.yaml", b="[1]")
    assert value("!include a.yaml") == {"x": [1], "y": [1]}


def test_a_file_that_cannot_be_read_to_its_end_does_not_end_the_others(write, faults, read):
    write(a="x: [1", b="y: !secret", c="z: *x")
    found = faults("a: !include a.yaml\nb: 1\nb: 2\nc: !include c.yaml\nd: &x 1")
    assert [place for place, _ in found] == ["app/a.yaml:1", "app/routes.yaml:3", "app/c.yaml:1"]
    tree = read("a: !include a.yaml\nb: 1")
    assert plain(tree.root) == {"a": None, "b": 1}
    assert tree.faults[0].keys == ("a",)


def test_what_cannot_be_decoded_is_told_with_its_line(write, faults):
    (write() / "a.yaml").write_bytes(b"x: 1\ny: \xff")
    assert faults("!include a.yaml")[0][1] == (
        'the file "app/a.yaml" cannot be used: line 2: the file is not UTF-8 text (byte 0xFF); save it as UTF-8'
    )


@pytest.mark.slow
def test_the_bounds_are_those_of_all_files_together(write, faults):
    write(
        long="# " + "x" * (MAX_CHARACTERS // 2),
        wide=f"[{','.join(['1'] * (MAX_NODES // 2))}]",
        deep="[" * 40 + "]" * 40,
        twice0="x",
        **{f"twice{n}": f"[!include twice{n - 1}.yaml, !include twice{n - 1}.yaml]" for n in range(1, 20)},
    )
    assert "with app/long.yaml, the files have" in faults("[!include long.yaml, !include long.yaml]")[0][1]
    assert "more than 100,000 values" in faults("[!include wide.yaml, !include wide.yaml]")[0][1]
    assert "nested more than 64 levels deep" in faults("[" * 30 + "!include deep.yaml" + "]" * 30)[0][1]
    assert faults("!include twice19.yaml")[-1][1] == f"more than {MAX_FILES:,} files are included"


def test_a_long_chain_of_files_ends(write, faults):
    write(**{f"f{n}": f"!include f{n + 1}.yaml" for n in range(80)})
    assert faults("!include f0.yaml")[0][1] == "nested more than 64 levels deep"


def test_what_is_wrong_with_a_value_is_shown_in_the_file_that_holds_it(write):
    folder = write(
        routes=ENDPOINTS + "signals: !include_dir signals\nlimits: !include limits.yaml\n",
        signals__a="- path: /a\n- path: /b\n  rebroadcast: nobody\n",
        signals__b="- {path: /c}\n- {path: /A}\n- {paht: /d}\n",
        limits="\n\nmessage: 1 parsec\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(folder / "routes.yaml", BUILT_IN, {})
    assert [str(each).removeprefix(f"{folder}/").partition('"')[0] for each in caught.value.problems] == [
        "limits.yaml:3:10: limits.message: ",
        "signals/a.yaml:3:16: signals[1].rebroadcast: ",
        f"signals/b.yaml:2:10: signals[3].path: the path /A is taken by the signal /a at {folder}/signals/a.yaml:1",
        "signals/b.yaml:3:4: signals[4].paht: no key ",
    ]
    assert caught.value.problems[1].source == "  rebroadcast: nobody"


def test_names_of_files_in_an_included_file_are_relative_to_the_folder_of_routes_yaml(write):
    folder = write(
        routes=ENDPOINTS + "signals: !include sub/signals.yaml\n",
        sub__signals="- {path: /a, schema: sub/schema.yaml}\n",
        sub__schema="type: object",
    )
    config = load_config(folder / "routes.yaml", BUILT_IN, {})
    assert config.signals[0].schema.document == {"type": "object"}
    assert set(config.files) == {folder / name for name in ("routes.yaml", "sub/signals.yaml", "sub/schema.yaml")}


def test_included_folders_are_among_what_was_read(write):
    folder = write(routes=ENDPOINTS + "signals: !include_dir sub\n", sub__a="[{path: /a}]")
    assert set(load_config(folder / "routes.yaml", BUILT_IN, {}).files) == {
        folder / name for name in ("routes.yaml", "sub", "sub/a.yaml")
    }

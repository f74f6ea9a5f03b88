"""routes.yaml on disk."""

import os
from threading import Thread

import pytest

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import load_config
from signalpost.errors import ConfigError

SOUND = b"endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]\n"


def text_of(file):
    with pytest.raises(ConfigError) as caught:
        load_config(file, BUILT_IN)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_paths_start_at_the_folder_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "routes.yaml").write_bytes(SOUND)
    monkeypatch.chdir(tmp_path)
    config = load_config("routes.yaml", BUILT_IN)
    assert (config.file, config.folder, config.plugins.folder) == ("routes.yaml", tmp_path, tmp_path / "plugins")


def test_a_byte_order_mark_says_nothing(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbf" + SOUND)
    assert load_config(tmp_path / "r.yaml", BUILT_IN).endpoints[0].name == "web"


def test_a_missing_file_says_how_to_get_one(tmp_path):
    assert "no such file; `signalpost new FOLDER`" in text_of(tmp_path / "routes.yaml")


def test_a_folder_is_no_file(tmp_path):
    assert "name the routes.yaml in it" in text_of(tmp_path)


def test_a_name_that_no_file_can_have_is_a_problem(tmp_path):
    assert "null characters" in text_of("a\0b")
    assert "cannot be read" in text_of(tmp_path / ("x" * 5000))


def test_text_that_is_not_utf8_is_a_problem_at_its_place(tmp_path):
    (tmp_path / "r.yaml").write_bytes(SOUND + "# é".encode("latin-1"))
    assert text_of(tmp_path / "r.yaml").startswith(f"{tmp_path / 'r.yaml'}:2:3: the file is not UTF-8 text (byte 0xE9)")


def test_utf16_is_named(tmp_path):
    (tmp_path / "r.yaml").write_bytes(SOUND.decode().encode("utf-16"))
    assert "the file is UTF-16; save it as UTF-8" in text_of(tmp_path / "r.yaml")


def test_a_file_without_end_is_not_read_to_its_end():
    assert "at most" in text_of("/dev/zero")


def test_a_pipe_to_which_nobody_writes_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "r.yaml")
    assert "the file says nothing" in text_of(tmp_path / "r.yaml")


def test_a_pipe_to_which_somebody_writes_is_read_to_its_end():
    reading, writing = os.pipe()
    text = b"#" * 200_000 + b"\n[1"  # more than a pipe holds
    writer = Thread(target=lambda: (os.write(writing, text), os.close(writing)))
    writer.start()
    assert text_of(f"/dev/fd/{reading}").startswith(f"/dev/fd/{reading}:2:")
    writer.join()
    os.close(reading)


def test_an_empty_file_says_what_it_needs(tmp_path):
    (tmp_path / "r.yaml").write_text("# nothing yet\n")
    assert "it needs at least endpoints: [{name: web" in text_of(tmp_path / "r.yaml")

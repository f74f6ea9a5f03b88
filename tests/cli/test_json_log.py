"""The log as JSON lines: one object for each record, of one schema, and nothing else from the process."""

import json
import logging
import re
import signal
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from signalpost.cli.logformats import LONGEST_JSON, JsonFormatter, LineFormatter, LogFormat
from signalpost.cli.logs import LogHandler
from signalpost.logsubject import SUBJECT, Subject

SCHEMA = json.loads(files("signalpost.cli").joinpath("log.schema.json").read_text())
JUDGE = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def read(line):
    """Return the object of a line, which must be one of the schema."""
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= LONGEST_JSON
    record = json.loads(line)
    JUDGE.validate(record)
    return record


Logger = logging.Logger  # one that no test shares with another


@pytest.fixture
def lines():
    return []


@pytest.fixture
def running_for():
    """Let the code that follows run for a subject."""
    before = SUBJECT.set(None)
    yield SUBJECT.set
    SUBJECT.reset(before)


@pytest.fixture
def logger(lines):
    """A logger whose records are written as JSON."""
    handler = LogHandler(lambda text: text.replace("hunter2", "!secret s"), lines.append, style=LogFormat.JSON)
    found = Logger("plugin.test")
    found.addHandler(handler)
    yield found
    handler.close()


def test_a_record_has_time_level_logger_and_message(logger, lines):
    logger.warning("%s voted", "ann")
    record = read(lines[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("time"))
    assert record == {"level": "warning", "logger": "plugin.test", "message": "ann voted"}


@pytest.mark.parametrize(
    ("number", "level"), [(5, "debug"), (10, "debug"), (25, "info"), (30, "warning"), (40, "error"), (99, "critical")]
)
def test_a_level_of_a_plugin_s_own_is_the_next_lower_one(logger, lines, number, level):
    logger.log(number, "hi")
    assert read(lines[0])["level"] == level


def test_an_exception_has_its_type_its_text_and_its_traceback(logger, lines):
    error = ValueError("no \x1b[2J\nluck")
    error.__cause__ = KeyError("why")
    logger.error("failed", exc_info=error)
    error = read(lines[0])["error"]
    assert (error["type"], error["message"]) == ("ValueError", r"no \x1b[2J\nluck")
    assert error["stack"][0] == "KeyError: 'why'"
    assert error["stack"][-1] == r"ValueError: no \x1b[2J\nluck"


def test_whom_a_plugin_runs_for_is_named_and_an_explicit_subject_goes_first(logger, lines, running_for):
    running_for(Subject("c1", "ann", "/rooms/blue"))
    logger.info("one")
    logger.info("two", extra={"subject": Subject("c2", None, "/x")})
    logger.info("three", extra={"subject": "a plugin's own"})
    one, two, three = map(read, lines)
    assert (one["client"], one["user"], one["path"]) == ("c1", "ann", "/rooms/blue")
    assert (two["client"], two["path"]) == ("c2", "/x")
    assert "user" not in two
    assert three["client"] == "c1"


def test_the_server_s_own_records_name_only_whom_they_say(lines, running_for):
    handler = LogHandler(str, lines.append, style=LogFormat.JSON)
    running_for(Subject("c1", "ann", "/rooms/blue"))
    for name in ("signalpost.state", "signalpost", "signalpost.plugins.mine", "signalposted"):
        handler.handle(logging.LogRecord(name, logging.INFO, "", 0, "hi", (), None))
    handler.close()
    assert ["client" in read(line) for line in lines] == [False, False, True, True]


def test_records_that_are_left_out_are_counted(logger, lines):
    for _ in range(25):
        logger.error("no")
    logger.handlers[0].tell()
    record = read(lines[-1])
    assert (record["omitted"], record["logger"]) == (5, "plugin.test")


def test_a_line_is_short_enough_for_what_collects_it_and_keeps_its_ends(logger, lines):
    def fail(depth):
        if depth:
            fail(depth - 1)
        raise ValueError("😀" * 100_000)

    try:
        fail(300)
    except ValueError:
        logger.exception("\u202e" * 100_000, extra={"subject": Subject("😀" * 9_000, "😀" * 9_000, "😀" * 9_000)})
    record = read(lines[0])
    assert record["message"].startswith(r"\u202e")
    assert "100,000 characters" in record["message"]
    assert record["error"]["stack"][0].startswith("Traceback")
    assert any("lines" in line for line in record["error"]["stack"])


def test_names_of_loggers_and_levels_are_safe_too(lines):
    logging.addLevelName(33, "odd\nlevel")
    record = logging.LogRecord("odd\nlogger\x1b", 33, "", 0, "hi", (), None)
    assert "\n" not in LineFormatter(str).format(record)
    assert r"odd\nlevel odd\nlogger\x1b: hi" in LineFormatter(str).format(record)
    assert read(JsonFormatter(str).format(record))["logger"] == r"odd\nlogger\x1b"


@given(st.text(), st.text(), st.text())
def test_whatever_is_logged_is_one_object_of_the_schema_and_one_line_of_text(name, message, path):
    record = logging.LogRecord(name, logging.INFO, "", 0, "%s", (message,), None)
    record.subject = Subject(path, path, path)
    assert read(JsonFormatter(str).format(record))["level"] == "info"
    assert len(LineFormatter(str).format(record).splitlines()) == 1


def test_each_field_is_described():
    def fields(schema):
        for name, field in schema.get("properties", {}).items():
            yield name, field
            yield from fields(field)

    Draft202012Validator.check_schema(SCHEMA)
    assert [name for name, field in fields(SCHEMA) if not field.get("description", "").endswith(".")] == []


def test_the_page_for_operators_names_each_field_and_its_example_is_a_line():
    page = (Path(__file__).parents[2] / "core/docs/logging.md").read_text()
    (example,) = re.findall(r"```json\n(.*)\n```", page)
    JUDGE.validate(json.loads(example))
    named = set(re.findall(r"`(\w+)`", "\n".join(line for line in page.splitlines() if line.startswith("| `"))))
    wanted = {*SCHEMA["properties"], *SCHEMA["properties"]["access"]["properties"]}
    assert wanted - named == set()


def json_lines(text):
    return [read(line) for line in text.removesuffix("\n").split("\n")]


def test_all_that_run_says_is_in_the_log_and_nothing_on_stdout(write, process, ended):
    write("signals: [{path: /}]\nlimits: {connections: 1000000}")
    server = process("run", "--log-format", "json")
    records = []
    for line in server.stderr:
        records.append(read(line.rstrip("\n")))
        if records[-1]["message"].endswith("Ctrl-C stops"):
            break
    server.send_signal(signal.SIGTERM)
    code, out, err = ended(server)
    assert (code, out) == (0, "")
    assert err == "" or json_lines(err)
    said = [record["message"] for record in records if record["logger"] == "signalpost.run"]
    assert re.fullmatch(r"web +http://127\.0\.0\.1:\d+", said[0])


def test_problems_of_the_file_are_a_record_each(write, process, ended):
    write("signals: [{path: /, format: odd}]\nnothing: 1")
    code, out, err = ended(process("run", LOG_FORMAT="json"))
    records = json_lines(err)
    assert (code, out) == (1, "")
    assert {record["level"] for record in records} == {"error"}
    assert sorted(record["message"].partition(": ")[0] for record in records) == ["routes.yaml:4:29", "routes.yaml:5:1"]


@pytest.mark.slow
def test_a_port_that_is_taken_is_a_record(write, process, run, ended):
    write("signals: [{path: /}]")
    port = run().urls["web"].rpartition(":")[2]
    write(f"endpoints: [{{name: web, address: 127.0.0.1, port: {port}, protocol: http}}]")
    code, _, err = ended(process("run", "--log-format", "json"))
    (record,) = json_lines(err)
    assert code == 1
    assert record["level"] == "error"
    assert "signalpost: " in record["message"]


@pytest.mark.slow
def test_a_reload_and_its_problems_are_records(write, process, ended):
    write("signals: [{path: /}]")
    server = process("run", "--log-format", "json", "--no-watch")

    def until(end):
        for line in server.stderr:
            if end in read(line.rstrip("\n"))["message"]:
                return
        pytest.fail("it has ended")

    until("Ctrl-C stops")
    write("signals: [{path: /other}]")
    server.send_signal(signal.SIGHUP)
    until("reloaded: ")
    write("signals: [{path: odd}]")
    server.send_signal(signal.SIGHUP)
    until("routes.yaml:4:18")
    until("not reloaded")
    server.send_signal(signal.SIGTERM)
    assert ended(server)[0] == 0


def test_an_unknown_format_in_the_environment_is_refused_with_those_there_are(write, process, ended):
    write("signals: [{path: /}]")
    code, _, err = ended(process("run", LOG_FORMAT="xml"))
    assert code == 2
    assert "LOG_FORMAT" in err
    assert "'text', 'json'" in err


@pytest.mark.slow
def test_a_secret_that_is_a_word_of_the_format_changes_no_key_and_no_level(write, folder, process, ended):
    (folder / "secrets.yaml").write_text("word: info\nother: message\nmore: signalpost\n")
    write("constants: {a: !secret word, b: !secret other, c: !secret more}\nsignals: [{path: /}]")
    server = process("run", LOG_FORMAT="json")
    records = [read(server.stderr.readline().rstrip("\n"))]
    server.send_signal(signal.SIGTERM)
    assert ended(server)[0] == 0
    assert records[0]["level"] == "info"

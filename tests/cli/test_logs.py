"""The log: whatever a client sends, a record is one line of a bounded length, and what repeats is counted."""

import json
import logging
import signal
from functools import partial

import pytest
from websockets.sync.client import connect

from signalpost.cli import logguard, logs
from signalpost.cli.logs import LogHandler
from signalpost.errors import StepFailedError
from signalpost.foreign import contained
from signalpost.units import parse_duration

Logger = logging.Logger  # one that no test shares with another


def log_failure(logger, error, cause=None):
    try:
        raise error from cause
    except type(error):
        logger.exception("failed")


UNSAFE = {
    "a line of its own": ("\r\n2026-01-01 ERROR forged", r"\r\n2026-01-01 ERROR forged"),
    "an escape sequence": ("\x1b[2J", r"\x1b[2J"),
    "a C1 control": ("\x9b2J", r"\x9b2J"),
    "a null": ("\0", r"\x00"),
    "a line separator": ("\u2028x\u2029", r"\u2028x\u2029"),
    "a turned direction": ("\u202egnp.exe\u2069\u061c\u200f", r"\u202egnp.exe\u2069\u061c\u200f"),
    "half a character": ("\ud800", r"\ud800"),
    "a tag": ("\U000e0041", r"\U000e0041"),
}
SAFE = ["Grüße", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "👨\u200d👩", "a\u00a0b", "C:\\new", "a\\nb"]


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


class Output:
    """What is written."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text + "\n"

    @property
    def lines(self):
        return self.text.removesuffix("\n").split("\n")


@pytest.fixture
def output():
    return Output()


@pytest.fixture
def handler(clock, output, monkeypatch):
    """A handler whose timer the test is, and what it writes."""
    monkeypatch.setattr(logs, "TOLD_EVERY", 1_000)
    found = LogHandler(lambda text: text.replace("hunter2", "!secret s"), output.write, clock)
    yield found
    found.close()


@pytest.fixture
def logger(handler):
    found = Logger("signalpost.test")
    found.addHandler(handler)
    return found


@pytest.mark.parametrize(("text", "shown"), UNSAFE.values(), ids=UNSAFE)
def test_what_would_end_or_hide_a_line_is_escaped_in_messages_arguments_and_exceptions(logger, text, shown, output):
    logger.error("message " + text)  # noqa: G003 - a plugin may do so
    logger.error("argument %s", text)
    logger.error(ValueError(text))
    log_failure(logger, ValueError("said " + text), KeyError(text))
    message, argument, error, *failed = output.lines
    assert message.endswith(f" ERROR signalpost.test: message {shown}")
    assert argument.endswith(f"argument {shown}")
    assert error.endswith(f"test: {shown}")
    assert failed[-1] == f"ValueError: said {shown}"
    assert [line for line in failed if line.startswith(("2026-01-01", "forged"))] == []


@pytest.mark.parametrize("text", SAFE)
def test_what_languages_are_written_with_stays_as_it_is(logger, text, output):
    logger.error(text)
    assert output.lines[0].endswith(f": {text}")


def test_a_traceback_has_its_own_lines_and_what_notes_and_groups_say_stays_in_theirs(logger, output):
    inner = ValueError("inner\nforged")
    inner.add_note("note\nforged")
    log_failure(logger, ExceptionGroup("group\nforged", [inner, TypeError("other\nforged")]))
    lines = output.lines
    assert any(line.lstrip(" +|").startswith('File "') for line in lines)
    assert not any(line.strip(" +|").startswith("forged") for line in lines)
    assert sum(r"\nforged" in line for line in lines) >= 4


def test_names_of_exceptions_of_functions_and_of_files_end_no_line(logger, output):
    forged = "\n2026-01-01 00:00:00,000 ERROR forged"
    named = type(f"Odd{forged}Error", (Exception,), {"__module__": f"m{forged}"})
    code = compile("def odd():\n    raise error", f"file{forged}", "exec")
    space = {"error": named("said")}
    exec(code.replace(co_consts=(code.co_consts[0].replace(co_name=f"odd{forged}"), *code.co_consts[1:])), space)
    try:
        space["odd"]()
    except named:
        logger.exception("failed")
    assert [line for line in output.lines if "forged" in line and r"\n2026" not in line] == []
    assert sum("forged" in line for line in output.lines) == 2


def failure_of(function):
    """Return an exception of a function, with the traceback that the function's caller sees of it."""
    try:
        function()
    except ValueError as error:
        error.__traceback__ = error.__traceback__.tb_next
        return error


def test_a_traceback_begins_with_the_code_that_was_called(logger, output):
    def plugin():
        parse_duration("never")

    group = ExceptionGroup("all", [failure_of(contained(plugin))])
    group.__cause__ = failure_of(contained(plugin))
    logger.error("failed", exc_info=group)
    frames = [line.strip(" |+") for line in output.lines if 'File "' in line]
    assert [frame.rpartition(" in ")[2] for frame in frames if "foreign.py" in frame] == []
    assert sum(frame.endswith("in plugin") for frame in frames) == 2
    assert sum(frame.endswith("in parse_duration") for frame in frames) == 2  # which the plugin called


def test_a_traceback_of_our_own_code_alone_is_whole(logger, output):
    logger.error("failed", exc_info=failure_of(partial(parse_duration, "never")))
    assert any(line.endswith("in parse_duration") for line in output.lines)


def test_a_line_is_cut_and_says_how_long_it_was(logger, output):
    logger.error("x" * 900_000)
    logger.error("%s", "key " + "\x1b" * 900_000)
    log_failure(logger, ValueError("y" * 900_000))
    lines = output.lines
    assert max(map(len, lines)) <= logguard.LONGEST_LINE + 200
    assert "… (900,000 characters) …" in lines[0]
    assert len(lines) < 20


def test_a_long_traceback_is_cut(logger, monkeypatch, output):
    error = ValueError("first")
    for number in range(200):
        error, cause = ValueError(f"number {number}"), error
        error.__cause__ = cause
    log_failure(logger, error, error.__cause__)
    assert len(output.lines) <= logguard.MOST_LINES + 2
    assert "lines) …" in output.text


def test_a_secret_is_hidden_before_a_line_is_cut_through_it(logger, output):
    for before in range(2_900, 3_100):
        logger.handlers[0].handle(logger.makeRecord("p", 20, "", 0, f"{'x' * before}hunter2{'y' * 5_000}", (), None))
    assert "!secret s" in output.text
    assert "unter" not in output.text
    assert "hunt" not in output.text


@pytest.mark.slow
def test_what_repeats_is_neither_written_nor_worded_but_counted(logger, handler, clock, output):
    worded = []

    class WordedError(StepFailedError):
        def __str__(self):
            worded.append(1)
            return super().__str__()

    for number in range(100_000):
        logger.error("%s (for client %s)", WordedError("routes.yaml:7:3", "set", f"no key {number}"), number)
    assert len(output.lines) == len(worded) == logs.BURST
    handler.tell()
    assert output.lines[-1].endswith("… and 99,980 more like this, left out: routes.yaml:7:3")
    handler.tell()
    assert len(output.lines) == logs.BURST + 1
    clock.now += 10
    for number in range(100):
        logger.error("%s (for client %s)", WordedError("routes.yaml:7:3", "set", f"no key {number}"), number)
    assert len(worded) == logs.BURST + logs.RATE * 10


def test_one_step_that_fails_without_end_does_not_keep_out_what_is_said_of_others(logger, output):
    for where in ("a:1:1",) * 1_000 + ("b:1:1",):
        logger.error("%s", StepFailedError(where, "set", "no"))
    assert "b:1:1" in output.lines[-1]


def test_the_lines_of_one_client_s_log_steps_do_not_keep_out_those_of_another(handler, output):
    steps = Logger("signalpost.log")
    steps.addHandler(handler)
    for _ in range(1_000):
        steps.info("%s", "flood", extra={"origin": "greedy"})
    steps.info("%s", "hello", extra={"origin": "other"})
    assert len(output.lines) == logs.LOG_BURST + 1
    assert output.lines[-1].endswith("hello")


def test_all_lines_together_are_bounded_and_the_rest_is_counted(handler, clock, output):
    plugin = Logger("plugin")
    plugin.addHandler(handler)
    for _ in range(10_000):
        plugin.info("x" * 1_000)
    assert len(output.text) <= logs.MOST_CHARACTERS + logguard.LONGEST_LINE + 20_000
    handler.tell()
    assert "more like this, left out: x" in output.lines[-1]
    clock.now += 1
    before = len(output.text)
    for _ in range(10_000):
        plugin.info("x" * 1_000)
    assert len(output.text) - before <= logs.CHARACTERS_RATE + logguard.LONGEST_LINE + 20_000


def test_of_very_many_kinds_that_are_left_out_few_are_named(logger, handler, output):
    for number in range(200):
        for _ in range(logs.BURST + 1 + number % 2):
            logger.error("%s", StepFailedError(f"routes.yaml:{number}:1", "set", "no"))
    before = len(output.lines)
    handler.tell()
    assert len(output.lines) - before == 21
    assert output.lines[-1].endswith("more of 180 other kinds, left out")


def test_a_record_whose_arguments_do_not_fit_is_a_line_as_well(logger, output):
    logger.error("%d votes\nforged", "x\ny")
    (line,) = output.lines
    assert r"%d votes\nforged" in line
    assert "a line of the log cannot be worded" in line


class Mute:
    """Cannot say what it is, by what is no `Exception`."""

    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error

    __repr__ = __str__


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), GeneratorExit(), BaseException("mine")])
def test_who_logs_what_cannot_be_worded_does_not_fail_of_it(error, logger, output):
    logger.error("%s voted", Mute(error))
    logger.error(Mute(error))
    logger.error("later")
    first, second, last = output.lines
    assert f"a line of the log cannot be worded ({type(error).__name__}" in first
    assert first.endswith("%s voted")
    assert second.endswith("): Mute")
    assert last.endswith("later")


def test_what_was_left_out_at_the_end_is_said(logger, handler, output):
    for _ in range(logs.BURST + 5):
        logger.error("no")
    handler.close()
    assert output.lines[-1].endswith("… and 5 more like this, left out: no")


def test_a_client_forges_no_line_of_the_log(write, run):
    write('signals: [{path: /, do: [{set: {"votes.{{ data.poll }}": "{{ message }}"}}]}]')
    server = run()
    nested = 5
    for _ in range(70):
        nested = [nested]
    poll = "\r\n2026-01-01 00:00:00,000 ERROR signalpost: forged\x1b[2J\u202e"
    with connect(server.urls["live"], compression=None, proxy=None, max_size=None) as client:
        for name in (poll, poll + "x" * 900_000):
            client.send(json.dumps({"message": nested, "poll": name}))
            assert "handler-failed" in client.recv()
    code, _, err = server.end(signal.SIGTERM)
    assert code == 0
    lines = err.removesuffix("\n").split("\n")
    assert len(lines) == 2
    assert all(r"\r\n2026" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= logguard.LONGEST_LINE + 200


CONFIGURES = """
import logging, logging.config
from signalpost import hookimpl, signal

def configure():
    {how}

{when}

@signal("fail", path="/fail")
async def fail(event):
    configure_late()
    logging.getLogger("plugin.chat").warning("of %s", event.data.message)
    raise ValueError(event.data.message)
"""
DICT = (
    'logging.config.dictConfig({"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}}, '
    '"root": {"handlers": ["console"], "level": "WARNING"}, '
    '"loggers": {"plugin": {"handlers": ["console"], "propagate": False}}})'
)


@pytest.mark.slow
@pytest.mark.parametrize("how", [DICT, "logging.basicConfig(force=True)", "logging.getLogger().handlers.clear()"])
@pytest.mark.parametrize(
    "when",
    [
        "configure(); configure_late = bool",
        "configure_late = bool\n@hookimpl\ndef startup(context): configure()",
        "configure_late = configure",
    ],
)
def test_a_plugin_that_configures_logging_leaves_the_log_its_filter(write, run, how, when):
    write(chat=CONFIGURES.format(how=how, when=when))
    server = run()
    with connect(server.urls["live"] + "/fail", compression=None, proxy=None) as client:
        client.send(json.dumps({"message": "a\r\nforged"}))
        assert "handler-failed" in client.recv()
    _, _, err = server.end(signal.SIGTERM)
    told = [line for line in err.splitlines() if "forged" in line]
    assert [r"a\r\nforged" in line for line in told] == [True, True], err
    assert any("handler fail of plugin chat failed" in line for line in err.splitlines())

"""``signalpost jobs``, at a server that runs in a process of its own, and without one."""

import json
import re
import signal
from datetime import datetime

APP = """
    timers:
      - {name: often, every: 0.05, handler: often}
      - {name: never, every: 1d, handler: often}
    schedules:
      - {name: nightly, cron: "0 3 * * *", timezone: Europe/London, handler: nightly}
"""
PLUGIN = """
    from signalpost import schedule, timer

    @timer("often", every="1d")
    async def often(event):
        if event.run % 2:
            raise ValueError("no luck\\x1b[2J")

    @schedule("nightly", cron="0 4 * * *")
    async def nightly(event):
        pass
"""


MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
NIGHT = r"\d{4}-\d\d-\d\d 03:00:00 [A-Z]{3}\S*"  # in winter time or in summer time


def has_line(text, pattern):
    """Return whether a line of a text is as a pattern says."""
    return any(re.fullmatch(pattern, line) for line in text.splitlines())


def eventually(command, found):
    """Repeat a command until it shows what is waited for: a job has run."""
    for _ in range(200):
        result = command()
        assert result.exit_code == 0, result.output
        if found(result.stdout):
            return result.stdout
    raise AssertionError(result.stdout)


def test_the_running_server_says_when_its_jobs_ran_and_run_next_how_long_they_took_and_what_failed(
    write, run, signalpost
):
    write(APP, clock=PLUGIN)
    server = run()
    shown = eventually(lambda: signalpost("jobs"), lambda text: re.search(r"often .* [1-9]\d* +[1-9]\d* +20", text))
    assert re.match(r"name +when +last run +took +longest +runs +failed +next run +from\n", shown)
    took = r"((< 1|\d+) ms(, failed)?|under way)"
    assert has_line(
        shown, rf"often +every 0\.05 s +{MOMENT} +{took} +(< 1|\d+) ms +\d+ +\d+ +{MOMENT} +routes\.yaml:\d+"
    )
    assert has_line(shown, rf"never +every 86400 s +- +- +- +0 +0 +{MOMENT} +routes\.yaml:\d+")
    assert has_line(shown, rf"nightly +0 3 \* \* \* Europe/London +- +- +- +0 +0 +{NIGHT} +routes\.yaml:\d+")
    assert has_line(shown, rf"often: failed last at {MOMENT}: ValueError: no luck.*")
    assert "\x1b" not in shown
    jobs = {each["name"]: each for each in map(json.loads, signalpost("jobs", "--json").stdout.splitlines())}
    assert list(jobs) == ["often", "never", "nightly"]
    often = jobs["often"]
    assert often["failed"] >= 1
    assert often["last"]["elsewhere"] is False
    assert datetime.fromisoformat(often["next"]) > datetime.fromisoformat(often["last_failed"])
    assert jobs["never"]["last"] is None
    assert server.end(signal.SIGTERM)[0] == 0


def test_without_a_server_it_is_what_the_file_says(write, signalpost):
    write(APP, clock=PLUGIN)
    result = signalpost("jobs")
    assert result.exit_code == 0
    assert re.match(r"name +when +next run +from\n", result.stdout)
    assert re.search(
        r"^often +every 0\.05 s +first 0\.05 s after the start +routes\.yaml:\d+$", result.stdout, re.MULTILINE
    )
    assert has_line(result.stdout, rf"nightly +0 3 \* \* \* Europe/London +{NIGHT} +routes\.yaml:\d+")
    assert result.stderr == "note: no server runs from routes.yaml: this is what the file says\n"
    first, *_, last = map(json.loads, signalpost("jobs", "--json").stdout.splitlines())
    assert (first["name"], first["next"]) == ("often", None)
    assert datetime.fromisoformat(last["next"]).hour == 3


def test_an_app_without_jobs_says_so(write, run, signalpost):
    write("signals: [{path: /}]")
    assert signalpost("jobs").stdout == "routes.yaml has no jobs\n"
    server = run()
    assert signalpost("jobs").stdout == "the server has no jobs\n"
    server.end(signal.SIGTERM)


def test_no_secret_is_shown_that_the_error_of_a_job_quotes(write, folder, run, signalpost):
    (folder / "secrets.yaml").write_text("mail: mail-secret-1\n")
    (folder / "secrets.yaml").chmod(0o600)
    write(
        """
        constants: {mail: !secret mail}
        timers: [{name: post, every: 0.05, handler: post}]
        """,
        post="""
        from signalpost import timer

        @timer("post", every="1d")
        async def post(event):
            raise ValueError("mail-secret-1 is refused at https://ann:hunter2@mail.example")
        """,
    )
    server = run()
    shown = eventually(lambda: signalpost("jobs"), lambda text: "failed last" in text)
    assert "ValueError: !secret mail is refused at https://ann:***@mail.example" in shown
    printed = signalpost("jobs", "--json").stdout
    assert json.loads(printed)["last_error"]
    assert not re.search("mail-secret-1|hunter2", printed)
    server.end(signal.SIGTERM)

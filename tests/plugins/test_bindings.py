"""What a plugin binds by itself, without a decorator, is judged as a decorator's arguments are."""

import collections
import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import orjson
import pytest
from click.testing import CliRunner

from signalpost import (
    Handler,
    HandlerKind,
    RouteBinding,
    ScheduleBinding,
    SignalBinding,
    TimerBinding,
    route,
    schedule,
    signal,
    timer,
)
from signalpost.cli import cli
from signalpost.errors import ConfigError
from signalpost.jobs.moments import TimerMoments
from signalpost.plugins.bindings import checked
from signalpost.plugins.marks import marks_of
from signalpost.state.frozen import fixed
from signalpost.testing import load_app, serve

ENDPOINT = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"


class NamedZone(tzinfo):
    """A zone as pytz makes them: `datetime.replace` puts its oldest offset on, and `zone` is its name."""

    zone = "Europe/London"

    def utcoffset(self, _moment):
        return timedelta(minutes=-1)

    def dst(self, _moment):
        return timedelta(0)

    def tzname(self, _moment):
        return "LMT"


async def handle(event):
    """Do nothing."""


WRONG = {
    "path": (signal("x", path=5), SignalBinding(5)),
    "schema": (signal("x", path="/x", schema=5), SignalBinding("/x", 5)),
    "parallel": (signal("x", path="/x", parallel=0), SignalBinding("/x", None, 0)),
    "methods as one text": (route("x", path="/x", methods="GET"), RouteBinding("/x", "GET")),
    "no methods": (route("x", path="/x", methods=()), RouteBinding("/x", ())),
    "an unknown method": (route("x", path="/x", methods=["GTE"]), RouteBinding("/x", ("GTE",))),
    "interval": (timer("x", every="5 parsecs"), TimerBinding("5 parsecs")),
    "no interval": (timer("x", every=0), TimerBinding(0)),
    "an endless interval": (timer("x", every=float("inf")), TimerBinding(float("inf"))),
    "limit": (timer("x", every=1, limit=-1), TimerBinding(1, limit=-1)),
    "skip": (timer("x", every="1d", skip=10_000_000), TimerBinding(86400, skip=10_000_000)),
    "a switch": (timer("x", every=1, on_start="no"), TimerBinding(1, on_start="no")),
    "nodes": (timer("x", every=1, on="all"), TimerBinding(1, on="all")),
    "nodes as no text": (schedule("x", cron="@daily", on=["one"]), ScheduleBinding(("@daily",), on=["one"])),
    "arguments": (timer("x", every=1, arguments=["a"]), TimerBinding(1, arguments=["a"])),
    "cron": (schedule("x", cron="61 * * * *"), ScheduleBinding(("61 * * * *",))),
    "crons": (schedule("x", cron=(5,)), ScheduleBinding((5,))),
    "zone": (schedule("x", cron="@daily", timezone="Berlin"), ScheduleBinding(("@daily",), timezone="Berlin")),
    "an offset": (
        schedule("x", cron="@daily", timezone=timezone(timedelta(hours=2))),
        ScheduleBinding(("@daily",), timezone=timezone(timedelta(hours=2))),
    ),
    "start": (schedule("x", cron="@daily", start="2030"), ScheduleBinding(("@daily",), start="2030")),
    "a start without zone": (
        schedule("x", cron="@daily", start=datetime(2030, 1, 1)),  # noqa: DTZ001 - the point
        ScheduleBinding(("@daily",), start=datetime(2030, 1, 1)),  # noqa: DTZ001
    ),
    "a start before all calendars": (
        schedule("x", cron="@daily", start=datetime.min.replace(tzinfo=UTC)),
        ScheduleBinding(("@daily",), start=datetime.min.replace(tzinfo=UTC)),
    ),
    "an end before the start": (
        schedule("x", cron="@daily", start=datetime(2030, 1, 2, tzinfo=UTC), end=datetime(2030, 1, 1, tzinfo=UTC)),
        ScheduleBinding(("@daily",), start=datetime(2030, 1, 2, tzinfo=UTC), end=datetime(2030, 1, 1, tzinfo=UTC)),
    ),
    "runs at once": (schedule("x", cron="@daily", max_runs=0), ScheduleBinding(("@daily",), max_runs=0)),
    "timeout": (schedule("x", cron="@daily", timeout="soon"), ScheduleBinding(("@daily",), timeout="soon")),
}


@pytest.mark.parametrize("decorator_and_binding", WRONG.values(), ids=WRONG)
def test_a_decorator_and_a_binding_made_by_hand_are_refused_in_the_same_words(decorator_and_binding):
    decorator, binding = decorator_and_binding

    async def handler(event):
        """Do nothing."""

    (fault,) = marks_of(decorator(handler)).faults
    with pytest.raises((ValueError, TypeError, LookupError)) as refused:
        checked(binding)
    assert fault.text.partition('("x"): ')[2] == str(refused.value)


def test_a_binding_made_by_hand_is_refused_with_the_handler_and_the_field(app):
    file = app.write(
        "chat.py",
        """
        from signalpost import Handler, HandlerKind, RouteBinding, hookimpl

        async def answer(event): ...

        @hookimpl
        def register_handlers():
            return [Handler("answer", HandlerKind.ROUTE, answer, (RouteBinding("/x", "GET"),))]
        """,
    )
    (error,) = app.load().errors
    assert error.where == f"{file}:6"
    assert error.text == (
        'register_handlers: handler "answer": RouteBinding: methods is a list of words, as in '
        'methods=["GET", "POST"], not \'GET\''
    )


def test_bindings_that_are_no_tuple_are_refused(app):
    app.write(
        "chat.py",
        """
        from signalpost import Handler, HandlerKind, RouteBinding, hookimpl

        async def answer(event): ...

        @hookimpl
        def register_handlers():
            return [Handler("answer", HandlerKind.ROUTE, answer, RouteBinding("/x"))]
        """,
    )
    (error,) = app.load().errors
    assert "bindings is a tuple, as in bindings=(RouteBinding(…),), not RouteBinding(" in error.text


def test_what_is_right_comes_to_one_form():
    assert checked(RouteBinding("/x", ["get", "GET", "post"])) == RouteBinding("/x", ("GET", "POST"))
    assert checked(TimerBinding("5s")).every == 5.0
    assert checked(ScheduleBinding("@daily")).crons == ("@daily",)


@pytest.mark.parametrize(
    ("zone", "name"),
    [(UTC, "UTC"), ("Europe/London", "Europe/London"), (NamedZone(), "Europe/London"), (ZoneInfo("UTC"), "UTC")],
)
def test_a_zone_is_taken_as_the_one_that_it_names(zone, name):
    assert checked(ScheduleBinding(("@daily",), timezone=zone)).timezone == ZoneInfo(name)


@pytest.mark.parametrize(("hours", "name"), [(2, "Etc/GMT-2"), (-5, "Etc/GMT+5")])
def test_an_offset_is_refused_with_the_zone_that_has_it(hours, name):
    with pytest.raises(TypeError, match=f'timezone="{name}"'.replace("+", r"\+")):
        checked(ScheduleBinding(("@daily",), timezone=timezone(timedelta(hours=hours))))
    assert datetime(2030, 1, 1, tzinfo=ZoneInfo(name)).utcoffset() == timedelta(hours=hours)


def test_routes_lists_a_schedule_whose_zone_is_the_standard_library_s_utc(tmp_path):
    load_app(
        ENDPOINT,
        tmp_path,
        {
            "nightly": """
            from datetime import UTC
            from signalpost import schedule

            @schedule("nightly", cron="0 3 * * *", timezone=UTC)
            async def nightly(event): ...
            """
        },
    ).registry.unload()
    done = CliRunner().invoke(cli, ["routes", str(tmp_path / "routes.yaml")])
    assert (done.exit_code, "UTC" in done.output) == (0, True), done.output


def test_a_timer_of_routes_yaml_that_skips_more_than_a_century_is_a_problem_at_its_place(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load_app(
            ENDPOINT + "timers: [{name: late, every: 1d, skip: 10000000, broadcast: hi}]",
            tmp_path,
        )
    assert "skip is at most 36524 where every is 1d, not 10000000" in str(refused.value)


def test_a_timer_that_comes_to_the_end_of_the_calendar_has_no_moment_any_more():
    anchor = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    assert TimerMoments(anchor, timedelta(minutes=5), 0).after(anchor) is None


VALUE = {"names": ["ann"], "deep": {"list": [{"n": 1}]}, "pair": ([1], 2)}


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(n=1),
        lambda value: value.__setitem__("n", 1),
        lambda value: value["names"].append("bob"),
        lambda value: value["deep"]["list"][0].pop("n"),
        lambda value: value["pair"][0].clear(),
        lambda value: value["deep"].setdefault("n", 1),
    ],
)
def test_what_is_fixed_is_not_changed_at_any_depth(change):
    value = fixed(VALUE)
    with pytest.raises(TypeError, match=r"of arguments or settings is not changed: .* change a copy"):
        change(value)
    assert value == VALUE


@pytest.mark.parametrize(
    ("value", "made"), [({1}, frozenset({1})), (bytearray(b"x"), b"x"), (collections.deque([{1}]), [frozenset({1})])]
)
def test_what_is_no_json_is_fixed_as_well(value, made):
    found = fixed({"deep": [value]})["deep"][0]
    assert found == made
    assert not isinstance(found, set | bytearray | collections.deque)


def test_what_is_fixed_is_a_list_or_mapping_in_every_other_way():
    value = fixed(VALUE)
    assert json.loads(json.dumps(value)) == json.loads(json.dumps(VALUE)) == orjson.loads(orjson.dumps(value))
    assert {**value, "n": 1} == {**VALUE, "n": 1} == value | {"n": 1}
    for plain in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        plain["deep"]["list"][0]["n"] = 2
        assert plain["deep"] == {"list": [{"n": 2}]}


async def test_arguments_and_settings_are_the_same_for_every_run():
    plugin = """
        from signalpost import hookimpl, signal, timer

        @timer("count", every="1h", on_start=True, arguments={"seen": []})
        async def count(event):
            try:
                event.arguments["seen"].append(event.run)
            except TypeError as error:
                event.state["arguments"] = str(error)

        @hookimpl
        def startup(context):
            try:
                context.settings["names"].append("bob")
            except TypeError as error:
                context.state["settings"] = str(error)

        @signal("asked", path="/asked")
        async def asked(event):
            event.reply([event.state.get("arguments"), event.state.get("settings")])
    """
    routes = ENDPOINT + "plugins: {settings: {count: {names: [ann]}}}"
    async with serve(routes, plugins={"count": plugin}) as app, app.connect("/asked") as client:
        await client.send("?")
        told = await client.receive_json()
        assert all("a list of arguments or settings is not changed" in text for text in told)
        assert app.server.plan.config.plugins.settings == {"count": {"names": ["ann"]}}


def test_the_handlers_that_a_plugin_makes_by_itself_have_the_arguments_that_they_were_made_with(app):
    app.write(
        "chat.py",
        """
        from signalpost import Handler, HandlerKind, TimerBinding, hookimpl

        async def tick(event): ...

        GIVEN = {"names": ["ann"]}

        @hookimpl
        def register_handlers():
            return [Handler("tick", HandlerKind.TIMER, tick, [TimerBinding("5s", arguments=GIVEN)])]
        """,
    )
    registry = app.load()
    assert registry.errors == ()
    (binding,) = registry.handlers["tick"].bindings
    registry.plugins[0].module.GIVEN["names"].append("bob")
    assert binding.arguments == {"names": ["ann"]}
    assert isinstance(Handler("x", HandlerKind.TIMER, handle, (binding,)).bindings[0].every, float)

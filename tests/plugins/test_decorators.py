import inspect
import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from signalpost import (
    Action,
    Handler,
    HandlerKind,
    RouteBinding,
    ScheduleBinding,
    SignalBinding,
    TimerBinding,
    action,
    route,
    schedule,
    signal,
    timer,
)
from signalpost.config.backplanemodel import RunsOn
from signalpost.errors import PluginError
from signalpost.plugins.marks import marks_of


def line_of(function):
    return f"{__file__}:{inspect.getsourcelines(function)[1]}"


def handlers_of(function):
    assert marks_of(function).faults == ()
    return marks_of(function).handlers


def refused(decorator, function):
    """Decorate a function by what does not fit it; return the mark of that, beside which there is no other."""
    assert decorator(function) is function
    marks = marks_of(function)
    assert (marks.handlers, marks.actions) == ((), ())
    (fault,) = marks.faults
    return fault


@pytest.fixture
def handler():
    async def handler(event):
        """Stand in where only the decorator matters."""

    return handler


def test_a_decorated_function_is_the_function_itself():
    async def shout(event):
        return event

    assert signal("shout")(shout) is shout


def test_a_decorator_without_a_binding_only_gives_the_function_its_name():
    @signal("shout")
    async def shout(event):
        pass

    assert handlers_of(shout) == (Handler("shout", HandlerKind.SIGNAL, shout, where=line_of(shout)),)


def test_a_function_that_is_not_decorated_has_no_handlers(handler):
    assert handlers_of(handler) == ()
    assert handlers_of(42) == ()


def test_a_signal_may_be_bound_to_a_path_with_a_schema():
    @signal("shout", path="/shout", schema={"type": "object"})
    async def shout(event):
        pass

    assert handlers_of(shout)[0].bindings == (SignalBinding("/shout", {"type": "object"}),)


def test_a_signal_may_say_how_many_messages_of_one_client_it_takes_at_once(handler):
    assert handlers_of(signal("x", path="/x", parallel=4)(handler))[0].bindings == (SignalBinding("/x", parallel=4),)


def test_a_route_takes_post_unless_told_and_methods_in_any_case(handler):
    plain = handlers_of(route("a", path="/a")(handler))[0]
    told = handlers_of(route("b", path="/b", methods=["get", "PUT", "get"])(handler))[0]
    assert plain.bindings == (RouteBinding("/a", ("POST",)),)
    assert told.bindings == (RouteBinding("/b", ("GET", "PUT")),)


def test_a_timer_takes_durations_as_routes_yaml_does(handler):
    made = timer("t", every="250ms", limit=3, skip=1, on_start=True, arguments={"a": 1})(handler)
    assert handlers_of(made)[0].bindings == (TimerBinding(0.25, limit=3, skip=1, on_start=True, arguments={"a": 1}),)
    assert handlers_of(timer("u", every=2)(handler))[0].bindings == (TimerBinding(2.0),)


def test_a_job_says_on_which_nodes_it_runs(handler):
    bound = timer("t", every=2, on="every"), schedule("n", cron="@daily", on="one"), timer("u", every=2)
    found = [handlers_of(decorate(handler))[0].bindings[0].on for decorate in bound]
    assert found == [RunsOn.EVERY, RunsOn.ONE, None]


def test_a_schedule_takes_one_or_several_expressions_and_reads_naive_moments_in_its_zone(handler):
    london = ZoneInfo("Europe/London")
    start, end = datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 7, 1)  # noqa: DTZ001 - naive is the point
    made = schedule(
        "n", cron=["0 0 * * *", "@hourly"], timezone="Europe/London", start=start, end=end, timeout="1m", max_runs=1
    )(handler)
    assert handlers_of(made)[0].bindings == (
        ScheduleBinding(
            ("0 0 * * *", "@hourly"),
            timezone=london,
            start=start,
            end=end.replace(tzinfo=london),
            timeout=60.0,
            max_runs=1,
        ),
    )
    assert handlers_of(schedule("o", cron="@daily")(handler))[0].bindings == (ScheduleBinding(("@daily",)),)


def test_decorators_stack_and_the_same_name_twice_is_a_second_binding():
    @signal("shout", path="/shout")
    @signal("shout", path="/yell")
    @route("cry", path="/cry")
    async def shout(event):
        pass

    where = line_of(shout)
    assert handlers_of(shout) == (
        Handler("shout", HandlerKind.SIGNAL, shout, (SignalBinding("/shout"), SignalBinding("/yell")), where=where),
        Handler("cry", HandlerKind.ROUTE, shout, (RouteBinding("/cry"),), where=where),
    )


def test_a_plain_def_is_refused_at_its_file_and_line():
    def shout(event):
        pass

    error = refused(signal("shout"), shout)
    assert error.where == line_of(shout)
    assert error.text == '@signal("shout"): a handler is an async def taking one event; shout is a plain def'


def test_a_function_that_cannot_take_one_event_is_refused_with_its_signature():
    async def shout(event, more):
        pass

    async def mute():
        pass

    assert "takes one argument, the event; this one is shout(event, more)" in refused(signal("s"), shout).text
    assert "this one is mute()" in refused(timer("s"), mute).text


def test_a_handler_that_yields_or_is_no_function_is_refused():
    async def stream(event):
        yield event

    assert "must not yield" in refused(signal("s"), stream).text
    with pytest.raises(PluginError, match="is none"):
        signal("s")(object())


def test_a_decorator_without_parentheses_says_how_to_write_it(handler):
    assert refused(signal, handler).text == '@signal needs a name: @signal("handler")'


@pytest.mark.parametrize("name", ["", " shout", "a\nb", 7])
def test_a_name_that_cannot_be_written_in_routes_yaml_is_refused(handler, name):
    assert "a handler's name is a word or several" in refused(signal(name), handler).text


@pytest.mark.parametrize(
    ("decorator", "text"),
    [
        (signal("x", path="shout"), 'a path starts with "/"'),
        (signal("x", schema={"type": "object"}), "schema says nothing without path"),
        (signal("x", parallel=2), "parallel says nothing without path"),
        (signal("x", path="/x", parallel=0), "parallel is a whole number from 1, not 0"),
        (route("x", methods=["GET"]), "methods says nothing without path"),
        (route("x", path="/x", methods="GET"), "methods is a list of words"),
        (route("x", path="/x", methods=[]), "methods is a list of words"),
        (timer("x", every="5 parsecs"), "every: "),
        (timer("x", every=0), "every: "),
        (timer("x", every=True), "every is a duration"),
        (timer("x", limit=2, on_start=True), "limit and on_start says nothing without every"),
        (timer("x", every=1, limit=-1), "limit is a whole number from 0, not -1"),
        (timer("x", every=1, skip=1.5), "skip is a whole number from 0, not 1.5"),
        (schedule("x", timeout="1s"), "timeout says nothing without cron"),
        (schedule("x", cron="61 * * * *"), "61"),
        (schedule("x", cron=[]), "cron is at least one expression"),
        (schedule("x", cron="@daily", max_runs=0), "max_runs is a whole number from 1, not 0"),
        (
            schedule("x", cron="@daily", timezone="Europe/Lodnon"),
            'no time zone "Europe/Lodnon"; did you mean "Europe/London"?',
        ),
        (schedule("x", cron="@daily", start=datetime(2030, 1, 1)), "belongs to no time zone"),  # noqa: DTZ001 - the point
    ],
)
def test_an_argument_that_is_wrong_is_refused_at_the_function(handler, decorator, text):
    error = refused(decorator, handler)
    assert text in error.text
    assert error.where == line_of(handler)


def test_a_mistake_in_one_decorator_hides_neither_another_mistake_nor_a_sound_one(handler):
    decorated = signal("a", path="a")(signal("b")(timer("c", every="5 parsecs")(handler)))
    marks = marks_of(decorated)
    assert [fault.name for fault in marks.faults] == ["a", "c"]
    assert [each.name for each in marks.handlers] == ["b"]


def test_an_action_may_be_plain_or_async_and_has_the_schema_of_its_options():
    @action("ring", schema={"type": "object"})
    def ring(event, options):
        """Ring the bell.

        Loudly.
        """

    @action("wait")
    async def wait(event, options):
        pass

    assert marks_of(ring).actions == (Action("ring", ring, {"type": "object"}, where=line_of(ring)),)
    assert [marks_of(each).actions[0].waits for each in (ring, wait)] == [False, True]
    described = {"type": "object", "title": "Action ring", "description": "Ring the bell."}
    assert marks_of(ring).actions[0].described == described
    assert marks_of(wait).actions[0].described == {"title": "Action wait"}


def test_an_action_that_cannot_be_called_with_event_and_options_is_refused():
    def short(event):
        pass

    def stream(event, options):
        yield event

    class Ring:
        pass

    text = '@action("ring"): an action takes two arguments, the event and the options; this one is short(event)'
    assert refused(action("ring"), short).text == text
    assert "must not yield" in refused(action("ring"), stream).text
    with pytest.raises(PluginError, match="an action is a def or an async def"):
        action("ring")(Ring)


def test_an_action_and_a_handler_may_be_one_function():
    @action("ring")
    @signal("ring")
    async def ring(event, options=None):
        pass

    marks = marks_of(ring)
    assert (marks.handlers[0].name, marks.actions[0].name, marks.faults) == ("ring", "ring", ())


def test_importing_signalpost_brings_in_neither_sanic_nor_apscheduler():
    heavy = {"sanic", "apscheduler", "jsonschema", "jinja2", "cryptography", "yaml", "rich", "click"}
    code = f"import sys, signalpost; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    import signalpost

    assert all(hasattr(signalpost, name) for name in signalpost.__all__)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("@signal('a')\nclass Talk: ...\n", 2),
        ("class Talk:\n    async def __call__(self, event): ...\n\ntalk = signal('a')(Talk())\n", 5),
        ("talk = action('a')(5)\n", 2),
    ],
)
def test_what_is_no_function_is_refused_at_the_line_where_it_is_decorated_and_by_its_own_name(app, source, line):
    file = app.write("chat.py", f"from signalpost import action, signal\n{source}")
    (error,) = app.load().errors
    assert error.where == f"{file}:{line}"
    assert error.text.endswith("is none")
    assert "folders" not in error.text

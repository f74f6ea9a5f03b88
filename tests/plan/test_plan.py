"""The plan: routes.yaml against the plugins. The configs are made of dataclasses, their places are counted out."""

import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from signalpost.actions.program import Program
from signalpost.config.model import (
    EndpointConfig,
    JobConfig,
    LimitsConfig,
    MessageFormat,
    PluginsConfig,
    Rebroadcast,
    RequestedTarget,
    RouteConfig,
    ScheduleTiming,
    SchemaConfig,
    Scheme,
    ServerConfig,
    SignalConfig,
    SlowConfig,
    SlowPolicy,
    StateConfig,
    StepConfig,
    TimerTiming,
)
from signalpost.errors import ConfigError, Problem
from signalpost.memory import default_outboxes
from signalpost.paths import PathPattern
from signalpost.plan import Job, build_plan
from signalpost.plugins.discovery import load_plugins
from signalpost.signals.rule import RELAY
from signalpost.units import format_size

ENDPOINTS = (
    EndpointConfig(("endpoints", 0), "web", "127.0.0.1", 0, Scheme.HTTP),
    EndpointConfig(("endpoints", 1), "live", "127.0.0.1", 0, Scheme.WS),
    EndpointConfig(("endpoints", 2), "more", "127.0.0.1", 0, Scheme.WSS),
)


LINES = {"limits": 5, "signals": 10, "routes": 20, "timers": 30, "schedules": 40, "plugins": 50, "handlers": 60}


class HandlerSlots:
    """Where a routes.yaml of the tests would have its parts: signals[0] in line 10, signals[1] in line 11, …"""

    def line(self, keys):
        return LINES[keys[0]] + next((key for key in keys if isinstance(key, int)), 0)

    def problem(self, keys, text, **_place):
        return Problem("app/routes.yaml", self.line(keys), 1, ".".join(map(str, keys)), text)

    def place(self, keys):
        return f"app/routes.yaml:{self.line(keys)}"

    def outside(self, keys, text):  # noqa: ARG002 - the signature is SourceMap's
        return ()

    def masked(self, text):
        return text.replace("hunter2", "!secret token")


@pytest.fixture
def plan(tmp_path):
    """Build the plan of parts and plugins given as text; the folder is shown as ``app``, as the operator named it."""
    registries = []

    def build(*parts, plugins=None, endpoints=ENDPOINTS, unbound=(), limits=None, **about_plugins):
        folder = tmp_path / "plugins"
        folder.mkdir(exist_ok=True)
        for name, source in (plugins or {}).items():
            (folder / f"{name}.py").write_text(f"from signalpost import *\n{textwrap.dedent(source)}")
        sections = {"routes": [], "signals": [], "timers": [], "schedules": []}
        for part in parts:
            sections[part.keys[0]].append(part)
        config = ServerConfig(
            file="app/routes.yaml",
            folder=tmp_path,
            endpoints=endpoints,
            plugins=PluginsConfig(folder=folder, **about_plugins),
            **{name: tuple(section) for name, section in sections.items()},
            undeclared_refused=False,
            unbound=frozenset(unbound),
            limits=limits or LimitsConfig(),
            state=StateConfig(),
            source=HandlerSlots(),
        )
        registries.append(load_plugins(config.plugins, ()))
        return build_plan(config, registries[-1])

    yield build
    for registry in registries:
        registry.unload()


def a_route(index=0, path="/x", methods=("POST",), **more):
    return RouteConfig(("routes", index), PathPattern.parse(path), methods, **more)


def a_signal(index=0, path="/x", **more):
    return SignalConfig(("signals", index), PathPattern.parse(path), **more)


def a_timer(index=0, name="t", every=5.0, handler=None, do=(), **more):
    return JobConfig(("timers", index), name, TimerTiming(every, **more), handler, do)


def a_schedule(index=0, name="s", crons=("@daily",), handler=None, do=(), **more):
    return JobConfig(("schedules", index), name, ScheduleTiming(crons, **more), handler, do)


def program(do):
    return Program(do, ())


def a_broadcast(*keys):
    return (StepConfig((*keys, "do", 0), "broadcast", {"value": "hello"}),)


def problems(build, *args, **more):
    with pytest.raises(ConfigError) as caught:
        build(*args, **more)
    return [str(problem) for problem in caught.value.problems]


SHOUT = """
@signal("shout", path="/shout")
async def shout(event): ...
"""
PUBLISH = """
@route("publish", path="/publish", methods=["GET", "POST"])
async def publish(event): ...
"""
TICK = """
@timer("tick", every="5s", limit=3)
async def tick(event): ...
"""
NIGHTLY = """
@schedule("nightly", cron=["@daily", "0 12 * * *"], timezone="Europe/London", timeout="1m")
async def nightly(event): ...
"""


def test_an_app_without_plugins_and_parts_has_an_empty_plan(plan):
    built = plan()
    assert (built.routes, built.signals, built.jobs, built.notes) == ((), (), (), ())


def test_a_signal_keeps_what_routes_yaml_says_of_it(plan):
    (rule,) = plan(
        a_signal(
            path="/rooms/<room>",
            rebroadcast=Rebroadcast.PATH,
            targets=frozenset({RequestedTarget.PATH}),
            format=MessageFormat.RAW,
            endpoints=("more",),
        )
    ).signals
    assert str(rule.config.path) == "/rooms/<room>"
    assert (rule.owner, rule.endpoints) == ("app/routes.yaml:10", {"more"})
    assert (rule.reaction, rule.handler, rule.gate) == (RELAY, None, None)
    assert (rule.config.rebroadcast, rule.config.targets, rule.config.format) == (
        Rebroadcast.PATH,
        {RequestedTarget.PATH},
        MessageFormat.RAW,
    )


def test_a_part_that_names_no_endpoints_is_served_by_all_of_its_kind(plan):
    built = plan(a_signal(), a_route(do=a_broadcast("routes", 0)))
    assert built.signals[0].endpoints == {"live", "more"}
    assert built.routes[0].endpoints == {"web"}


def test_a_part_that_nothing_can_serve_is_a_problem(plan):
    assert problems(plan, a_signal(), a_route(file=Path("x")), endpoints=()) == [
        "app/routes.yaml:10:1: signals.0: no endpoint serves this signal: add one with the protocol ws or wss",
        "app/routes.yaml:20:1: routes.0: no endpoint serves this route: add one with the protocol http or https",
    ]


def test_handlers_are_resolved_by_name_on_every_kind_of_part(plan):
    built = plan(
        a_signal(handler="shout"),
        a_route(handler="publish"),
        a_timer(handler="tick"),
        a_schedule(handler="nightly"),
        plugins={"a": SHOUT + PUBLISH, "b": TICK + NIGHTLY},
    )
    handlers = built.registry.handlers
    (rule,) = built.signals
    assert (rule.handler, rule.handler.plugin) == (handlers["shout"], "a")
    assert built.routes[0].handler is handlers["publish"]
    assert [job.action for job in built.jobs] == [handlers["tick"], handlers["nightly"]]


def test_an_unknown_handler_names_the_nearest_and_all_that_there_are(plan):
    assert problems(plan, a_signal(handler="shuot"), plugins={"a": SHOUT + TICK}) == [
        'app/routes.yaml:10:1: signals.0.handler: no handler named "shuot"; did you mean "shout"? (known: shout, tick)'
    ]


def test_an_unknown_handler_where_there_are_none_says_so(plan):
    assert problems(plan, a_signal(handler="shout")) == [
        'app/routes.yaml:10:1: signals.0.handler: no handler named "shout" (there are none)'
    ]


def test_an_unknown_handler_may_belong_to_a_plugin_that_did_not_load(plan):
    assert problems(plan, a_signal(handler="shout"), plugins={"a": "1 / 0\n" + SHOUT}) == [
        (
            'app/routes.yaml:10:1: signals.0.handler: no handler named "shout" (there are none); '
            "it may belong to plugin a, which did not load"
        ),
        "app/plugins/a.py:2:1: plugin a: does not import: ZeroDivisionError: division by zero",
    ]


def test_a_handler_of_the_wrong_kind_says_which_it_is_and_which_decorator_is_needed(plan):
    found = problems(plan, a_signal(handler="tick"), a_timer(handler="shout"), plugins={"a": SHOUT + TICK})
    assert found == [
        (
            'app/routes.yaml:10:1: signals.0.handler: handler "tick" is made by @timer (plugin a, app/plugins/a.py:6); '
            "this needs one made by @signal"
        ),
        (
            'app/routes.yaml:30:1: timers.0.handler: handler "shout" is made by @signal '
            "(plugin a, app/plugins/a.py:3); this needs one made by @timer or @schedule"
        ),
    ]


def test_timer_handlers_serve_schedules_and_the_reverse(plan):
    built = plan(a_timer(handler="nightly"), a_schedule(handler="tick"), plugins={"a": TICK + NIGHTLY})
    assert [(job.kind, job.action.name) for job in built.jobs] == [("timer", "nightly"), ("schedule", "tick")]


def test_decorators_bind_where_routes_yaml_says_nothing(plan):
    built = plan(plugins={"a": SHOUT + PUBLISH + TICK + NIGHTLY})
    (signal,), (route,), (tick, nightly) = built.signals, built.routes, built.jobs
    assert (str(signal.config.path), signal.owner, signal.handler.name) == ("/shout", "a", "shout")
    assert signal.endpoints == {"live", "more"}
    assert (str(route.config.path), route.config.methods, route.owner, route.endpoints) == (
        "/publish",
        ("GET", "POST"),
        "a",
        {"web"},
    )
    assert (tick.name, tick.timing.every, tick.timing.limit, tick.owner) == ("tick", 5.0, 3, "a")
    assert nightly.timing.crons == ("@daily", "0 12 * * *")
    assert (nightly.name, str(nightly.timing.timezone), nightly.timing.timeout, nightly.owner) == (
        "nightly",
        "Europe/London",
        60.0,
        "a",
    )


def test_naming_a_handler_in_routes_yaml_replaces_all_bindings_of_its_decorator(plan):
    twice = '@signal("shout", path="/yell")' + SHOUT
    built = plan(
        a_signal(path="/loud", handler="shout"), a_timer(name="slow", handler="tick"), plugins={"a": twice + TICK}
    )
    assert [str(rule.config.path) for rule in built.signals] == ["/loud"]
    assert [job.name for job in built.jobs] == ["slow"]


def test_a_handler_may_be_unbound(plan):
    built = plan(plugins={"a": SHOUT + TICK}, unbound={"tick"})
    assert built.jobs == ()
    assert len(built.signals) == 1


def test_unbinding_an_unknown_handler_is_a_problem_at_its_key(plan):
    assert problems(plan, plugins={"a": TICK}, unbound={"tock"}) == [
        'app/routes.yaml:60:1: handlers.tock: no handler named "tock"; did you mean "tick"? (known: tick)'
    ]


def test_routes_yaml_wins_over_a_decorator_on_one_path_and_the_plan_notes_it(plan):
    built = plan(a_signal(path="/Shout"), plugins={"a": SHOUT})
    assert [rule.owner for rule in built.signals] == ["app/routes.yaml:10"]
    assert built.notes == (
        (
            'app/routes.yaml:10 declares /shout, so the binding of handler "shout" (plugin a, app/plugins/a.py:3) '
            "is left out"
        ),
    )


def test_a_decorator_says_how_many_messages_of_one_client_its_handler_takes_at_once(plan):
    side_by_side = '@signal("shout", path="/shout", parallel=4)\nasync def shout(event): ...'
    assert [rule.config.parallel for rule in plan(plugins={"a": side_by_side}).signals] == [4]
    # Where routes.yaml names the handler, all that the decorator binds it to is replaced.
    named = plan(a_signal(path="/loud", handler="shout"), plugins={"a": side_by_side})
    assert [rule.config.parallel for rule in named.signals] == [1]


def test_routes_yaml_takes_from_a_decorator_only_the_methods_that_it_declares(plan):
    built = plan(a_route(path="/publish", methods=("GET",), file=Path("x")), plugins={"a": PUBLISH})
    assert [(rule.owner, rule.config.methods) for rule in built.routes] == [
        ("app/routes.yaml:20", ("GET",)),
        ("a", ("POST",)),
    ]
    assert built.notes[0].startswith("app/routes.yaml:20 declares GET /publish, so ")


def test_two_plugins_on_one_path_are_an_error_that_names_both(plan):
    other = '@signal("yell", path="/SHOUT")\nasync def yell(event): ...'
    (found,) = problems(plan, plugins={"a": SHOUT, "b": other})
    assert found.startswith('app/plugins/b.py:2:1: plugin b: handler "yell" is bound to /SHOUT, and so is "shout"')
    assert "of plugin a (app/plugins/a.py:3)" in found
    assert "handlers: {shout: off}" in found


def test_http_routes_clash_only_on_the_same_method_in_the_same_case(plan):
    get = '@route("get", path="/x", methods=["GET"])\nasync def get(event): ...'
    put = '@route("put", path="/X", methods=["GET"])\nasync def put(event): ...'
    post = '@route("post", path="/x")\nasync def post(event): ...'
    assert len(plan(plugins={"a": get, "b": put, "c": post}).routes) == 3


def test_a_decorator_s_path_is_taken_back_by_unbinding_the_other(plan):
    other = '@signal("yell", path="/shout")\nasync def yell(event): ...'
    built = plan(plugins={"a": SHOUT, "b": other}, unbound={"shout"})
    assert [rule.handler.name for rule in built.signals] == ["yell"]


def test_a_binding_that_no_endpoint_serves_is_noted(plan):
    built = plan(plugins={"a": SHOUT + PUBLISH}, endpoints=())
    assert (built.signals, built.routes) == ((), ())
    assert built.notes == (
        (
            'app/plugins/a.py:6: the route /publish of handler "publish" is not served: '
            "no endpoint has the protocol http or https"
        ),
        (
            'app/plugins/a.py:3: the signal /shout of handler "shout" is not served: '
            "no endpoint has the protocol ws or wss"
        ),
    )


def test_a_job_of_routes_yaml_may_not_have_the_name_of_a_plugin_s(plan):
    (found,) = problems(plan, a_timer(name="tick", do=a_broadcast("timers", 0)), plugins={"a": TICK})
    assert found.startswith('app/routes.yaml:30:1: timers.0.name: plugin a has a job named "tick" too')
    assert "app/plugins/a.py:3" in found


def test_a_job_named_after_the_handler_it_names_is_that_handler_s(plan):
    (job,) = plan(a_timer(name="tick", every=1.0, handler="tick"), plugins={"a": TICK}).jobs
    assert (job.timing.every, job.owner) == (1.0, "app/routes.yaml:30")


def test_a_handler_that_is_bound_to_time_twice_is_an_error(plan):
    (found,) = problems(plan, plugins={"a": '@timer("tick", every="1s")' + TICK})
    assert 'handler "tick" is bound more than once' in found


def test_jobs_of_routes_yaml_are_resolved_whole(plan):
    timer = a_timer(do=a_broadcast("timers", 0), limit=1, skip=2, on_start=True, arguments={"a": 1})
    schedule = a_schedule(do=a_broadcast("schedules", 0), timeout=3.0, max_runs=4, limit=5, on_start=True)
    assert plan(timer, schedule).jobs == (
        Job("t", program(timer.do), "app/routes.yaml:30", timer.timing),
        Job("s", program(schedule.do), "app/routes.yaml:40", schedule.timing),
    )


def test_schemas_are_compiled_wherever_they_stand(plan):
    document = {"type": "object", "required": ["message"]}
    bound = '@signal("shout", path="/shout", schema={"required": ["x"]})\nasync def shout(event): ...\n'
    built = plan(
        a_signal(schema=SchemaConfig(("signals", 0, "schema"), document)),
        a_route(do=a_broadcast("routes", 0), schema=SchemaConfig(("routes", 0, "schema"), document)),
        plugins={"a": bound},
    )
    for gate in (built.signals[0].gate, built.routes[0].gate):
        assert gate.accepts({"message": 1})
        assert not gate.accepts({})
    assert built.signals[1].gate.accepts({"x": 1})
    assert not built.signals[1].gate.accepts({})


def test_a_schema_that_does_not_compile_is_a_problem_at_its_place(plan):
    bound = '@signal("shout", path="/shout", schema={"pattern": "(?=x)"})\nasync def shout(event): ...\n'
    schema = SchemaConfig(("signals", 0, "schema"), {"type": "objekt"})
    yaml, plugin = problems(plan, a_signal(schema=schema), plugins={"a": bound})
    assert yaml.startswith("app/routes.yaml:10:1: signals.0.schema: ")
    assert plugin.startswith('app/plugins/a.py:2:1: plugin a: handler "shout": schema: ')


def test_plugins_that_nobody_has_are_problems_wherever_they_are_named(plan):
    found = problems(
        plan, plugins={"clock": ""}, enable=("clock", "clokc"), disable=("x",), settings={"clock": {}, "cloc": {}}
    )
    assert sorted(found) == [
        'app/routes.yaml:50:1: plugins.disable.0: no plugin named "x" (known: clock)',
        'app/routes.yaml:50:1: plugins.settings.cloc: no plugin named "cloc"; did you mean "clock"? (known: clock)',
        'app/routes.yaml:51:1: plugins.enable.1: no plugin named "clokc"; did you mean "clock"? (known: clock)',
    ]


def test_handlers_made_by_hand_are_checked_like_decorated_ones(plan):
    source = """
    async def f(event): ...

    @hookimpl
    def register_handlers():
        return [
            Handler("a", HandlerKind.SIGNAL, f, (SignalBinding("nowhere"),)),
            Handler("b", HandlerKind.SCHEDULE, f, (ScheduleBinding(("never",)),)),
        ]
    """
    found = problems(plan, plugins={"a": source})
    where = "app/plugins/a.py:5:1: plugin a: register_handlers: "
    assert found[0].startswith(f'{where}handler "a": SignalBinding: a path starts with "/"')
    assert found[1].startswith(f'{where}handler "b": ScheduleBinding: 5 fields are needed')


def test_a_problem_in_a_plugin_shows_the_line_and_its_caret_as_it_is_now(plan, tmp_path):
    with pytest.raises(ConfigError):
        plan(plugins={"a": "\n\n\n@hookimpl\ndef start(): ..."})
    with pytest.raises(ConfigError) as caught:
        plan(plugins={"a": "if True:\n    @hookimpl\n    def start(): ..."})
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.source, problem.width) == (3, 5, "    @hookimpl", 9)


def test_notes_of_plugins_are_notes_of_the_plan(plan):
    (note,) = plan(plugins={"a": "def startup(context): ..."}).notes
    assert note.startswith("app/plugins/a.py:2: plugin a: startup is the name of a hook")


@pytest.mark.parametrize(
    ("limits", "place"),
    [
        (LimitsConfig(message=2**31, outbox=2**31), "app/routes.yaml:5: limits.message: 2GiB"),
        (LimitsConfig(outbox=2**31), "app/routes.yaml:5: limits.outbox: 2GiB"),
    ],
)
def test_what_this_machines_memory_does_not_let_wait_is_noted(plan, limits, place):
    buffers = (a_signal(slow=SlowConfig(SlowPolicy.LATEST, 2**31)), a_signal(1, path="/y", slow=SlowConfig(buffer=9)))
    first, second = plan(*buffers, limits=limits).notes
    most = format_size(default_outboxes())
    assert first == (
        f"{place} for one client is more than all clients may have on this machine, {most} (a quarter of its "
        "memory, at most 1GiB): the client is dropped earlier; allow less here, or more in limits.outboxes"
    )
    assert second.startswith("app/routes.yaml:10: signals[0].slow.buffer: 2GiB for one client")
    assert plan(*buffers, limits=LimitsConfig(outboxes=2**40)).notes == ()


NOON = datetime(2999, 7, 1, 12, tzinfo=UTC)
AT_MIDNIGHT = {"crons": ("0 0 * * *",), "timezone": ZoneInfo("UTC"), "handler": "tick"}


@pytest.mark.parametrize(
    ("schedule", "notes"),
    [
        (
            {"end": datetime(2020, 1, 1, tzinfo=UTC)},
            "does not run any more: its end, 2020-01-01 00:00:00+00:00, is past",
        ),
        ({"end": datetime(2020, 1, 1, tzinfo=UTC), "on_start": True}, "does not run any more"),
        (
            {"start": NOON, "end": NOON + timedelta(hours=11)},
            "has no run before it ends: its cron never fires between",
        ),
        ({"start": NOON, "end": NOON + timedelta(hours=12)}, ""),
        ({"start": NOON - timedelta(hours=12), "end": NOON}, ""),
        ({"end": NOON}, ""),
        ({"start": NOON, "end": NOON + timedelta(hours=11), "on_start": True}, "has no run before it ends"),
        ({}, ""),
    ],
)
def test_a_schedule_that_has_no_run_any_more_is_noted(plan, schedule, notes):
    found = plan(a_schedule(**AT_MIDNIGHT, **schedule), plugins={"a": TICK}).notes
    assert [note.startswith(f'app/routes.yaml:40: the schedule "s" {notes}') for note in found] == [True] * bool(notes)


def test_a_schedule_of_a_decorator_that_has_no_run_any_more_is_noted(plan):
    past = """
        from datetime import UTC, datetime

        @schedule("old", cron="@daily", end=datetime(2020, 1, 1, tzinfo=UTC))
        async def old(event): ...
    """
    (note,) = plan(plugins={"a": past}).notes
    assert note.startswith('app/plugins/a.py:5: the schedule "old" does not run any more')


def test_a_plan_says_what_calls_a_handler(plan):
    built = plan(
        a_signal(path="/loud", handler="shout"),
        a_signal(1, path="/louder", handler="shout"),
        a_timer(name="often", handler="tick"),
        a_schedule(name="daily", handler="tick"),
        plugins={"a": SHOUT + TICK + PUBLISH},
    )
    assert built.bound_to("shout") == ("signal /loud", "signal /louder")
    assert built.bound_to("tick") == ("timer often", "schedule daily")
    assert built.bound_to("publish") == ("route /publish",)
    assert built.bound_to("nobody") == ()

import pytest


def texts(registry):
    return [error.text for error in registry.errors]


def test_hooks_are_known_by_plugin_with_place_and_arguments(app):
    file = app.write(
        "clock.py",
        """
        from signalpost import hookimpl

        @hookimpl
        def startup(context):
            pass

        @hookimpl
        async def client_disconnected(code):
            pass
        """,
    )
    registry = app.load()
    assert registry.plugins[0].hooks == ("client_disconnected", "startup")
    (one,) = registry.implementations["client_disconnected"]
    assert (one.plugin, one.hook, one.arguments, one.where) == ("clock", "client_disconnected", ("code",), f"{file}:8")
    assert registry.implementations["shutdown"] == ()


def test_a_misspelt_hook_names_the_nearest_and_the_sound_ones_stay(app):
    file = app.write(
        "clock.py",
        """
        from signalpost import hookimpl

        @hookimpl
        def start_up(context):
            pass

        @hookimpl
        def shutdown(context):
            pass
        """,
    )
    registry = app.load()
    (error,) = registry.errors
    assert (error.plugin, error.where) == ("clock", f"{file}:4")
    assert error.text.startswith('no hook named "start_up"; did you mean "startup"? (known: authenticate, ')
    assert registry.plugins[0].hooks == ("shutdown",)


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ("def startup(contxt): ...", 'startup: no argument named "contxt" (it may take: context)'),
        ("def startup(context, extra=1): ...", 'startup: no argument named "extra" (it may take: context)'),
        ("def register_handlers(context): ...", 'register_handlers: no argument named "context" (it takes none)'),
        ("def startup(*context): ...", "startup: name the arguments plainly, without * (it may take: context)"),
        ("def startup(*, context): ...", "startup: name the arguments plainly, without * (it may take: context)"),
        ("async def register_handlers(): ...", "register_handlers is asked before a loop runs: make it a plain def"),
        ("def startup(context): yield", "startup: a hook must not yield"),
        ("async def startup(context): yield", "startup: a hook must not yield"),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused(app, definition, text):
    app.write("clock.py", f"from signalpost import hookimpl\n\n@hookimpl\n{definition}\n")
    assert texts(app.load()) == [text]


def test_a_hook_wrapper_is_refused(app):
    source = "from signalpost import hookimpl\n\n@hookimpl(wrapper=True)\ndef startup(context):\n    yield\n"
    (app.folder / "clock.py").write_text(source)
    assert texts(app.load()) == [
        "startup: a hook wrapper has nothing to wrap; each implementation is awaited on its own"
    ]


def test_a_function_with_a_hook_s_name_that_is_not_marked_is_noted(app):
    file = app.write("clock.py", "\n\ndef startup(context):\n    pass\n")
    registry = app.load()
    assert registry.errors == ()
    (note,) = registry.notes
    assert note.startswith(f"{file}:3: plugin clock: startup is the name of a hook but is not called; put @hookimpl")


def test_a_hook_imported_from_another_plugin_is_called_once(app):
    app.write("a.py", "from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    pass\n")
    app.write("b.py", "from .a import startup\n")
    registry = app.load()
    assert [each.plugin for each in registry.implementations["startup"]] == ["a"]


def test_hooks_are_called_in_the_order_of_plugins_but_for_those_that_ask_to_be_first_or_last(app):
    for name, mark in (("a", "(trylast=True)"), ("b", ""), ("c", "()"), ("d", "(tryfirst=True)")):
        app.write(
            f"{name}.py", f"from signalpost import hookimpl\n\n@hookimpl{mark}\ndef startup(context):\n    pass\n"
        )
    assert [each.plugin for each in app.load().implementations["startup"]] == ["d", "b", "c", "a"]


def test_two_loads_of_one_folder_share_no_hooks(app):
    app.write("a.py", "from signalpost import hookimpl\n\n@hookimpl\ndef startup(context):\n    pass\n")
    first, second = app.load(), app.load()
    assert len(first.implementations["startup"]) == len(second.implementations["startup"]) == 1


def test_two_handlers_of_one_name_are_an_error_that_names_both_places(app):
    source = "from signalpost import signal\n\n@signal('shout')\nasync def shout(event):\n    pass\n"
    one = app.write("a.py", source)
    two = app.write("b.py", source)
    registry = app.load()
    (error,) = registry.errors
    assert (error.plugin, error.where) == ("b", f"{two}:3")
    assert error.text == f'the handler name "shout" is taken by plugin a ({one}:3); rename one'
    assert registry.handlers["shout"].plugin == "a"


def test_two_kinds_of_handler_share_the_same_names(app):
    app.write(
        "a.py",
        """
        from signalpost import signal, timer

        @signal("x")
        async def one(event): ...

        @timer("x")
        async def two(event): ...
        """,
    )
    assert "is taken by plugin a" in texts(app.load())[0]


REGISTER = """
from signalpost import Handler, HandlerKind, SignalBinding, TimerBinding, hookimpl

async def shout(event):
    pass

@hookimpl
def register_handlers():
    return {returned}
"""


def test_handlers_that_a_plugin_makes_by_itself_get_plugin_and_place(app):
    file = app.write(
        "a.py", REGISTER.format(returned="[Handler('s', HandlerKind.SIGNAL, shout, (SignalBinding('/s'),))]")
    )
    registry = app.load()
    assert registry.errors == ()
    assert (registry.handlers["s"].plugin, registry.handlers["s"].where) == ("a", f"{file}:4")
    assert registry.plugins[0].handlers == ("s",)


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("None", "register_handlers returns a list of Handler, not None"),
        ("[shout]", "register_handlers: not a Handler: <function shout"),
        ("[Handler('s', 'signal', shout)]", 'register_handlers: handler "s": its kind is a HandlerKind, not '),
        ("[Handler('', HandlerKind.SIGNAL, shout)]", "a handler's name is a word or several, not ''"),
        ("[Handler('s', HandlerKind.SIGNAL, print)]", "a handler is an async def taking one event"),
        (
            "[Handler('s', HandlerKind.SIGNAL, shout, (TimerBinding(5.0),))]",
            'register_handlers: handler "s": a signal is bound by SignalBinding, not by TimerBinding(',
        ),
    ],
)
def test_what_a_plugin_registers_by_itself_is_checked(app, returned, text):
    file = app.write("a.py", REGISTER.format(returned=returned))
    (error,) = app.load().errors
    assert text in error.text
    assert error.where == f"{file}:7"


def test_register_handlers_that_raises_is_a_problem_at_its_line(app):
    file = app.write("a.py", REGISTER.format(returned="[1 / 0]"))
    (error,) = app.load().errors
    assert error.text == "register_handlers failed: ZeroDivisionError: division by zero"
    assert error.where == f"{file}:9"


def hook(name, returned, head=""):
    return f"from signalpost import Action, hookimpl\n{head}\n@hookimpl\ndef {name}():\n    return {returned}\n"


def test_actions_are_known_by_name_with_plugin_place_and_a_gate_for_their_options(app):
    file = app.write(
        "bell.py",
        """
        from signalpost import Action, action, hookimpl

        @action("ring", schema={"type": "object", "properties": {"times": {"type": "integer"}}})
        def ring(event, options): ...

        @hookimpl
        def register_actions():
            return [Action("chime", ring)]
        """,
    )
    registry = app.load()
    assert registry.errors == ()
    assert registry.plugins[0].actions == ("ring", "chime")
    ring, chime = registry.actions.values()
    assert (ring.plugin, ring.where, ring.schema["type"]) == ("bell", f"{file}:4", "object")
    assert (chime.plugin, chime.where, chime.schema) == ("bell", f"{file}:4", True)
    assert [ring.gate.accepts(value) for value in ({"times": 2}, {"times": "2"}, 2)] == [True, False, False]
    assert chime.gate.accepts(None)


def test_two_actions_of_one_name_are_an_error_that_names_both_places(app):
    source = "from signalpost import action\n\n@action('ring')\ndef ring(event, options): ...\n"
    one, two = app.write("a.py", source), app.write("b.py", source)
    registry = app.load()
    (error,) = registry.errors
    assert (error.plugin, error.where) == ("b", f"{two}:3")
    assert error.text == f'the action name "ring" is taken by plugin a ({one}:3); rename one'
    assert registry.actions["ring"].plugin == "a"


@pytest.mark.parametrize(
    ("schema", "texts"),
    [
        ({"type": "objct"}, ['at type: no type "objct" in JSON Schema; did you mean "object"?']),
        (5, [": a JSON Schema is a dict, True or False, not 5"]),
        ({"minItems": -1, "maxItems": "x"}, ["at minItems: ", "at maxItems: "]),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ["at $schema: what plugins add is draft 2020-12"]),
        ({"$ref": "#/$defs/x"}, ['at $ref: "#/$defs/x" leads nowhere in this schema']),
        ({"$ref": "#/properties/a", "properties": {"a": {}}}, ['at $ref: "#/properties/a" cannot be moved']),
        ({"properties": {"a": {"$id": "urn:a"}}}, ["at properties.a.$id: what plugins add is part of a larger schema"]),
        ({"pattern": "(?=a)"}, ["look-around"]),
    ],
)
def test_a_schema_that_cannot_be_used_is_reported_as_in_yaml_with_plugin_and_place(app, schema, texts):
    ring = f"@action('ring', schema={schema!r})\ndef ring(event, options): ...\n"
    file = app.write("bell.py", f"from signalpost import action\n\n{ring}")
    registry = app.load()
    for text in texts:
        (error,) = (error for error in registry.errors if text in error.text)
        assert error.text.startswith('action "ring": schema')
        assert error.where == f"{file}:3"
    assert len(registry.errors) == len(texts)
    assert (registry.actions, registry.faulty) == ({}, {"ring"})


def test_a_settings_schema_that_cannot_be_used_is_reported_likewise(app):
    file = app.write("a.py", hook("settings_schema", "{'properties': {'x': {'type': 'strng'}}}"))
    registry = app.load()
    (error,) = registry.errors
    assert error.where == f"{file}:3"
    assert error.text.startswith('settings_schema at properties.x.type: no type "strng" in JSON Schema; did you mean')
    assert registry.settings_schemas == {}


def test_a_plugin_may_not_take_the_name_of_a_built_in_action(app):
    app.write("a.py", "from signalpost import action\n\n@action('broadcast')\ndef f(event, options): ...\n")
    assert texts(app.load()) == ['action "broadcast": there is a built-in action of this name; rename this one']


@pytest.mark.parametrize(
    ("name", "returned", "text"),
    [
        ("register_actions", "None", "register_actions returns a list of Action, not None"),
        ("register_actions", "[5]", "register_actions: not an Action: 5"),
        ("register_actions", "[Action('x', 5)]", 'register_actions: action "x": an action is a def or an async def'),
        ("register_actions", "[Action('', print)]", "an action's name is a word or several, not ''"),
        ("register_actions", "1 / 0", "register_actions failed: ZeroDivisionError: division by zero"),
        ("template_globals", "[]", "template_globals returns a mapping of names, not []"),
        ("template_globals", "{'a b': 1}", "a name in templates is letters, digits and _, and begins with a letter"),
        ("template_globals", "{'_a': 1}", "not '_a'"),
        ("template_globals", "{'not': 1}", "not 'not'"),
        ("template_globals", "{1: 1}", "not 1"),
        ("template_globals", "{'message': 1}", 'templates have "message" by themselves; rename it'),
        ("template_globals", "{'range': 1}", 'templates have "range" by themselves; rename it'),
        ("template_globals", "{'later': later}", "templates wait for nothing: later is an async def"),
        ("template_filters", "{'upper': str}", 'templates have "upper" by themselves; rename it'),
        ("template_filters", "{'datetime': str}", 'templates have "datetime" by themselves; rename it'),
        ("template_filters", "{'shout': 5}", "a filter is a function, not 5"),
        ("settings_schema", "True", "settings_schema returns a JSON Schema of a mapping, not True"),
        ("settings_schema", "{'type': 'array'}", "settings are a mapping, so its type is \"object\", not 'array'"),
    ],
)
def test_what_a_plugin_offers_by_a_hook_is_checked(app, name, returned, text):
    file = app.write("a.py", hook(name, returned, "async def later(): ..."))
    (error,) = app.load().errors
    assert text in error.text
    assert error.where == f"{file}:{5 if 'failed' in text else 3}"


def test_names_and_filters_of_templates_are_known_with_who_brings_them(app):
    app.write("a.py", hook("template_globals", "{'station': 'york', 'shout': str.upper}"))
    app.write("b.py", hook("template_filters", "{'shout': str.upper}"))
    registry = app.load()
    assert registry.errors == ()
    assert registry.template_globals == {"station": "york", "shout": str.upper}
    assert registry.template_filters == {"shout": str.upper}
    assert [plugin.template_globals for plugin in registry.plugins] == [("station", "shout"), ()]
    assert [plugin.template_filters for plugin in registry.plugins] == [(), ("shout",)]


@pytest.mark.parametrize(("name", "kind"), [("template_globals", "template"), ("template_filters", "filter")])
def test_two_plugins_with_one_name_for_templates_are_an_error_that_names_both(app, name, kind):
    one = app.write("a.py", hook(name, "{'shout': str.upper}"))
    app.write("b.py", hook(name, "{'shout': str.lower}"))
    registry = app.load()
    assert texts(registry) == [f'the {kind} name "shout" is taken by plugin a ({one}:3); rename one']
    assert getattr(registry, name) == {"shout": str.upper}


def test_what_settings_may_be_is_known_by_plugin_with_its_place(app):
    file = app.write("a.py", hook("settings_schema", "{'properties': {'x': {'type': 'integer'}}}"))
    registry = app.load()
    assert registry.errors == ()
    (schema,) = registry.settings_schemas.values()
    assert (schema.plugin, schema.where) == ("a", f"{file}:3")
    assert schema.document == {"properties": {"x": {"type": "integer"}}}


def test_all_mistakes_of_a_plugin_s_decorators_are_reported_at_once_and_the_sound_ones_stay(app):
    file = app.write(
        "a.py",
        """
        from signalpost import action, signal, timer

        @signal("one", path="one")
        async def one(event): ...

        @signal("two")
        async def two(event): ...

        @timer("three", every="5 parsecs")
        async def three(event): ...

        @action("four")
        def four(): ...

        @signal(["five"])
        async def five(event): ...
        """,
    )
    registry = app.load()
    assert [error.where for error in registry.errors] == [f"{file}:{line}" for line in (4, 10, 13, 16)]
    assert list(registry.handlers) == ["two"]
    assert registry.faulty == {"one", "three", "four", "['five']"}

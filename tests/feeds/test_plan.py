"""Feeds as routes.yaml and plugins say them: read, checked, compared, shown."""

import re

import pytest

from signalpost.config.feedurl import parse_url, shown_url
from signalpost.errors import ConfigError
from signalpost.plan import diff
from signalpost.plan.diff import lasting
from signalpost.plan.snapshot import snapshot, to_json
from signalpost.testing import load_app

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 8091, protocol: ws}]\n"
WORK = """
from signalpost import feed

@feed("work"ARGUMENTS)
async def work(event): ...
"""


@pytest.fixture
def plan(tmp_path):
    """Build a plan from the YAML of its feeds."""
    built = []

    def build(feeds, endpoints=LIVE, **plugins):
        built.append(load_app(endpoints + feeds, tmp_path, plugins))
        return built[-1]

    yield build
    for each in built:
        each.registry.unload()


def test_a_feed_has_what_its_keys_say(plan):
    made = plan("""
feeds:
  - name: prices
    url: wss://ann:secret@feed.example.com:444/ticker?key=1
    headers: {Authorization: Bearer 1f3a, X-Empty: ""}
    subprotocols: [a, b]
    send: {op: subscribe}
    timeout: 5s
    max_message: 4MiB
    do: [{log: "{{ message }}"}]
  - {name: plain, url: "WS://feed.example.com", send: [1, [2]], broadcast: {value: x}}
limits: {message: 2MiB}
""")
    prices, plain = made.feeds
    assert prices.source.url == "wss://ann:secret@feed.example.com:444/ticker?key=1"
    assert prices.source.headers == (("authorization", "Bearer 1f3a"),)
    assert (prices.source.subprotocols, prices.source.send) == (("a", "b"), ({"op": "subscribe"},))
    assert (prices.source.timeout, prices.largest, plain.largest) == (5.0, 4 * 2**20, 2 * 2**20)
    assert plain.source.send == (1, [2])
    assert prices.shown == "wss://feed.example.com:444/ticker"
    assert made.taken_by("log") == ("feed prices",)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://feed.example.com", "wss://feed.example.com"),
        ("wss://a:b@feed.example.com/x/y?k=v", "wss://feed.example.com/x/y"),
        ("ws://a%40b:c@[::1]:80?k=v/w@z", "ws://[::1]:80"),
        ("!secret feed", "!secret feed"),
    ],
)
def test_people_are_shown_no_user_and_no_query(url, shown):
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://x", "begin with ws://, not with http://"),
        ("feed.example.com", "begins with ws:// or wss://"),
        ("ws:///path", "it names no host"),
        ("ws://", "it names no host"),
        ("ws://x:0", "port 0"),
        ("ws://x:70000", "host or port cannot be read"),
        ("ws://[::1", "host or port cannot be read"),
        ("ws://x/#part", "what follows # is never sent"),
        ("ws://x/a b", "no blanks"),
        ("ws://x/\x7f", "no blanks and no control characters"),
        ("ws://{{ host }}/", "no templates"),
    ],
)
def test_an_address_that_is_none_is_told(url, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_url(url)


@pytest.mark.parametrize("word", ["reply", "join", "leave", "close"])
def test_an_action_about_a_sender_has_no_place_in_a_feed(plan, word):
    options = {"reply": "{value: x}", "join": "a", "leave": "a", "close": "{}"}[word]
    with pytest.raises(
        ConfigError, match=rf":2:\d+: feeds\[0\]\.do\[0\].{word}: {word} has no place in a feed"
    ) as told:
        plan(f"feeds: [{{name: a, url: 'ws://x', do: [{{{word}: {options}}}]}}]")
    assert len(told.value.problems) == 1


def test_a_handler_that_routes_yaml_names_is_bound_there_alone(plan):
    made = plan("feeds: [{name: mine, url: 'ws://x', handler: work}]", work=WORK.replace("ARGUMENTS", ", url='ws://y'"))
    (feed,) = made.feeds
    assert (feed.name, feed.source.url) == ("mine", "ws://x")
    assert made.bound_to("work") == ("feed mine",)


def test_a_plugins_own_feed_is_bound_unless_it_is_turned_off(plan):
    source = WORK.replace("ARGUMENTS", ", url='ws://a:b@y/x?c', send={'a': [1]}, max_message='1KiB'")
    (feed,) = plan("", work=source).feeds
    assert (feed.name, feed.owner, feed.shown, feed.largest) == ("work", "work", "ws://y/x", 1024)
    assert plan("handlers: {work: off}", work=source).feeds == ()


def test_two_feeds_of_one_name_are_told_with_both_places(plan):
    source = WORK.replace("ARGUMENTS", ", url='ws://y'")
    with pytest.raises(ConfigError, match='plugin work has a feed named "work" too'):
        plan("feeds: [{name: work, url: 'ws://x', broadcast: {value: x}}]", work=source)
    twice = source.replace("@feed", "@feed('work', url='ws://z')\n@feed")
    with pytest.raises(ConfigError, match='handler "work" is bound more than once; its feed has its name'):
        plan("", work=twice)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("url=5", "url is a text"),
        ("url='http://x'", "url: a feed is a WebSocket: begin with ws://"),
        ("send='x'", "send says nothing without url"),
        ("url='ws://x', headers=5", "headers is a mapping"),
        ("url='ws://x', headers={'a': 5}", "headers is a mapping of texts"),
        ("url='ws://x', headers={'a b': 'c'}", "headers: a b: "),
        ("url='ws://x', headers={'Host': 'c'}", "headers: Host: the url names the host"),
        ("url='ws://x', headers={'Upgrade': 'c'}", "headers: Upgrade: the server sets upgrade itself"),
        ("url='ws://x', subprotocols=[5]", "subprotocols is a list of texts"),
        ("url='ws://x', subprotocols=['a b']", "subprotocols: 'a b' is no subprotocol name"),
        ("url='ws://x', send={1, 2}", "is not JSON"),
        ("url='ws://x', timeout='soon'", "timeout: "),
        ("url='ws://x', max_message='big'", "max_message: "),
        ("url='ws://x', max_message=[]", "max_message is a size"),
    ],
)
def test_a_wrong_argument_of_a_decorator_is_told(plan, arguments, said):
    with pytest.raises(ConfigError) as told:
        plan("", work=WORK.replace("ARGUMENTS", f", {arguments}"))
    (problem,) = told.value.problems
    assert f'@feed("work"): {said}' in str(problem) or said in str(problem)


def test_a_binding_that_a_plugin_makes_itself_is_judged_alike(plan):
    source = """
from signalpost import FeedBinding, Handler, HandlerKind, hookimpl

async def work(event): ...

@hookimpl
def register_handlers():
    return [Handler("work", HandlerKind.FEED, work, (FeedBinding("ws://x", send="hello", CA),))]
"""
    (feed,) = plan("", work=source.replace("CA", "headers=(('a', 'b'),)")).feeds
    assert (feed.source.send, feed.source.headers) == (("hello",), (("a", "b"),))
    with pytest.raises(ConfigError, match="FeedBinding: ca: certificates are named in routes"):
        plan("", work=source.replace("CA", "ca='x'"))


OWN = "feeds: [{{name: a, url: '{url}', {does}}}]"


@pytest.mark.parametrize(
    ("address", "url", "does", "loops"),
    [
        ("127.0.0.1", "ws://127.0.0.1:8091/x", "broadcast: {value: y}", True),
        ("127.0.0.1", "ws://localhost:8091/x", "broadcast: {value: y, path: /X}", True),
        ("'*'", "ws://[::1]:8091/x", "broadcast: {value: y, path: '{{ text }}'}", True),
        ("0.0.0.0", "ws://127.0.0.1:8091", "do: [{if: '{{ true }}', then: [{broadcast: {value: y, path: /}}]}]", True),
        ("10.1.2.3", "ws://10.1.2.3:8091/x", "broadcast: {value: y}", True),
        ("127.0.0.1", "ws://127.0.0.1:8091/x", "handler: work", True),
        ("127.0.0.1", "ws://127.0.0.1:8091/x", "do: [{call: work}]", True),
        ("127.0.0.1", "ws://127.0.0.1:8091/x", "broadcast: {value: y, path: /y}", False),
        ("127.0.0.1", "ws://127.0.0.1:8091/x", "broadcast: {value: y, group: z}", False),
        ("127.0.0.1", "ws://127.0.0.1:8091/x", "do: [{log: y}]", False),
        ("127.0.0.1", "ws://127.0.0.1:8092/x", "broadcast: {value: y}", False),
        ("127.0.0.1", "wss://127.0.0.1:8091/x", "broadcast: {value: y}", False),
        ("127.0.0.1", "ws://feed.example.com:8091/x", "broadcast: {value: y}", False),
        ("10.1.2.3", "ws://127.0.0.1:8091/x", "broadcast: {value: y}", False),
    ],
)
def test_a_feed_that_may_receive_what_it_sends_has_a_note(plan, address, url, does, loops):
    made = plan(OWN.format(url=url, does=does), LIVE.replace("127.0.0.1", address), work=WORK.replace("ARGUMENTS", ""))
    notes = [note for note in made.notes if "comes from this server itself" in note]
    assert bool(notes) is loops
    if loops:
        assert ':2: the feed "a" comes from this server itself (endpoint live, /' in notes[0]


def test_a_change_of_a_feed_is_named_and_its_secrets_are_not_in_a_snapshot(plan):
    one = plan(
        "feeds: [{name: a, url: 'ws://x/?hunter2', headers: {a: hunter2}, send: hunter2, broadcast: {value: x}}]"
    )
    other = plan(
        "feeds: [{name: a, url: 'ws://x/?hunter3', headers: {a: hunter2}, send: hunter2, broadcast: {value: x}}]"
    )
    assert str(diff(one, other)) == "~1 feed"
    assert str(diff(one, plan(""))) == "-1 feed"
    assert "hunter2" not in str(to_json(snapshot(one)))


def test_a_feed_that_a_plugin_binds_again_is_told(plan):
    source = WORK.replace("ARGUMENTS", ", url='ws://y'")
    named = plan("feeds: [{name: mine, url: 'ws://x', handler: work}]", work=source)
    assert [note for note in lasting(named, plan("", work=source)) if 'runs the feed "work" by itself again' in note]


def test_names_that_a_feed_does_not_have_are_told(plan):
    with pytest.raises(ConfigError, match='nothing here is named "client"'):
        plan("feeds: [{name: a, url: 'ws://x', broadcast: {value: '{{ client.id }}'}}]")

"""The key ``api``: where it may stand, and what it needs."""

import pytest

from signalpost.config.apimodel import API_RATE
from signalpost.units import Quota

KEY = "pZ3vN8qTgY5kR1xC7wBh2sLf9mJd4aEu"
WEB = "endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]\n"
LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 8090, protocol: ws}]\n"
TWO = """endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: ops, address: 127.0.0.1, port: 8091, protocol: http}
"""
KEYS = f"auth: {{keys: {{shop: {{key: {KEY}, may: [publish]}}}}}}\nundeclared: refuse\n"


def test_without_a_word_it_is_at_the_only_http_endpoint_at_its_usual_path_and_rate(config):
    api = config(f"{WEB}{KEYS}api: {{}}\n").api
    assert (api.endpoints, api.path, api.rate) == (("web",), "/api", API_RATE)


def test_endpoint_path_and_rate_are_the_files(config):
    api = config(f"{TWO}{KEYS}api: {{endpoint: ops, path: /ops/api/, rate: 5/m}}\n").api
    assert (api.endpoints, api.path, api.rate) == (("ops",), "/ops/api", Quota(5.0, 60.0))
    assert config(f"{WEB}{KEYS}api: {{rate: 0}}\n").api.rate is None


def test_there_is_none_unless_the_file_says_so(config):
    assert config(f"{WEB}{KEYS}").api is None


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (f"{WEB}api: {{}}\n", "2:1", "api: nobody could use the API: it takes the keys of auth"),
        (f"{WEB}auth: {{}}\nundeclared: refuse\napi: {{}}\n", "4:1", "api: nobody could use the API"),
        (f"{TWO}{KEYS}api: {{}}\n", "6:1", "api: which endpoint serves the API? Add endpoint: web to api"),
        (f"{LIVE}{KEYS}api: {{}}\n", "4:1", "api: no endpoint is http or https, so nothing serves the API"),
        (f"{WEB}{KEYS}api: {{endpoint: wep}}\n", "4:17", 'api.endpoint: no endpoint named "wep"'),
        (f"{WEB}{KEYS}api: {{path: /}}\n", "4:13", "api.path: the API would take all paths"),
        (f"{WEB}{KEYS}api: {{path: /<a>}}\n", "4:13", "api.path: the API is at one path: leave <a> out"),
        (f"{WEB}{KEYS}api: {{rate: fast}}\n", "4:13", "api.rate: "),
        (
            f"{WEB}{KEYS}api: {{}}\nroutes: [{{path: /api/me, handler: me}}]\n",
            "4:1",
            "api: the route /api/me at routes.yaml:5 is where the API answers",
        ),
        (
            f"{WEB}{KEYS}api: {{path: /ops}}\nmonitor: {{health: /ops/health, metrics: /opsmetrics}}\n",
            "4:13",
            "api.path: /ops/health of monitor at routes.yaml:5 is where the API answers",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(problems, text, place, said):
    (found,) = problems(text)
    assert found.startswith(f"{place}: {said}")


def test_a_path_of_a_key_is_judged_at_its_place(problems):
    keys = f"auth: {{keys: {{shop: {{key: {KEY}, may: [publish], paths: [rooms]}}}}}}\nundeclared: refuse\n"
    (found,) = problems(f"{WEB}{keys}")
    assert 'auth.keys.shop.paths[0]: a path starts with "/"' in found


def test_keys_in_clear_text_beyond_this_machine_are_a_note(config):
    (note,) = [
        each for each in config(f"{WEB.replace('127.0.0.1', '0.0.0.0')}{KEYS}api: {{}}\n").notes if "the API" in each
    ]
    assert note.startswith('routes.yaml:4: the API is at the endpoint "web" (0.0.0.0) over http, so whoever')
    assert not any("the API" in each for each in config(f"{WEB}{KEYS}api: {{}}\n").notes)

"""What looks like a credential is hidden wherever it stands; what only speaks of credentials is not."""

import pytest

from signalpost.redaction import redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"

HIDDEN = {
    "a head": ("Authorization: Bearer hunter2hunter2\r\nHost: a", "Authorization: ***\r\nHost: a"),
    "a head as repr": (
        r"b'GET / HTTP/1.1\r\nCookie: a=hunter2; b=3\r\nX: 1'",
        r"b'GET / HTTP/1.1\r\nCookie: ***\r\nX: 1'",
    ),
    "a head with quotes": (
        'GET / HTTP/1.1\r\nCookie: a="1"; b=\'hunter2\r\nX: 1',
        "GET / HTTP/1.1\r\nCookie: ***\r\nX: 1",
    ),
    "a head with quotes as repr": (
        r"""b'GET / HTTP/1.1\r\nCookie: a="1"; b=\'hunter2\r\nX: 1'""",
        r"b'GET / HTTP/1.1\r\nCookie: ***\r\nX: 1'",
    ),
    "digest": ('sent Authorization: Digest username="a", response="hunter2"', "sent Authorization: ***"),
    "a header of an app": ("Host: a\r\nX-Auth-Token: hunter2\r\nX: 1", "Host: a\r\nX-Auth-Token: ***\r\nX: 1"),
    "a header of an app as repr": (r"b'Host: a\r\nX-Access-Key: hunter2\r\n'", r"b'Host: a\r\nX-Access-Key: ***\r\n'"),
    "a mapping of headers": ("{'cookie': 'a=hunter2', 'host': 'a'}", "{'cookie': '***', 'host': 'a'}"),
    "a list of headers": ("[('cookie', 'a=hunter2'), ('host', 'a')]", "[('cookie', '***'), ('host', 'a')]"),
    "pairs of bytes": ("(b'set-cookie', b'a=hunter2')", "(b'set-cookie', b'***')"),
    "a bearer": ("sent Bearer hunter2-hunter2 to", "sent Bearer *** to"),
    "a token": (f"no key for {JWT}, so", "no key for ***, so"),
    "a token as subprotocol": ("signalpost.v1, signalpost.bearer.hunter2", "signalpost.v1, signalpost.bearer.***"),
    "a session": ("signalpost.session.hunter2-x, signalpost.v1", "signalpost.session.***, signalpost.v1"),
    "the header of a session": ("signalpost-session: hunter2", "signalpost-session: ***"),
    "a parameter": ("GET /a?access_token=hunter2&b=1 HTTP", "GET /a?access_token=***&b=1 HTTP"),
    "a short parameter": ("https://a/?b=1&key=hunter2", "https://a/?b=1&key=***"),
    "a form": ("user=ann&password=hunter2", "user=ann&password=***"),
    "JSON": ('{"user": "ann", "password": "hunter\\"2"}', '{"user": "ann", "password": "***"}'),
    "JSON without blanks": ('{"apiKey":"hunter2","n":1}', '{"apiKey":"***","n":1}'),
    "a repr": ("{'client_secret': 'hunter2'}", "{'client_secret': '***'}"),
    "JSON in JSON": (
        r'{"message": "{\"password\": \"hunt\\\"er2\", \"n\": 1}"}',
        r'{"message": "{\"password\": \"***\", \"n\": 1}"}',
    ),
    "JSON in JSON that was cut": (r'{"message": "{\"password\": \"hunter2', r'{"message": "{\"password\": \"***\"'),
    "a private key": ('{"private_key": "hunter2"}', '{"private_key": "***"}'),
    "JSON that was cut": ('{"password": "hunter2', '{"password": "***"'),
    "an address": ("redis://app:hunter2@10.0.0.5/0 is away", "redis://app:***@10.0.0.5/0 is away"),
    "an address without a user": ("rediss://:hun:t@er2@host:6379", "rediss://:***@host:6379"),
    "an API key": ("X-API-Key: hunter2", "X-API-Key: ***"),
}
KEPT = [
    "handler vote of plugin polls failed on /rooms/blue for client 3f",
    "auth.tokens.keys: https://id.example.com/keys: the keys have come again",
    "no token could be had (timed out)",
    "the cookie, which is old, is not read",
    "a bearer of bad news",
    "votes.key=3, code=7 of /path?page=2",
    'no key "token"; did you mean "tokens"?',
    "two problems:\n  token: is not closed",
    "at 10:30:00 on http://127.0.0.1:8080/a@b",
    "12:30 ws://localhost:8091/rooms/blue by ann@example.com",
]


@pytest.mark.parametrize(("text", "shown"), HIDDEN.values(), ids=HIDDEN)
def test_a_credential_is_hidden(text, shown):
    assert redacted(text) == shown
    assert "unter" not in redacted(text)


@pytest.mark.parametrize("text", KEPT)
def test_what_holds_no_credential_stays_as_it_is(text):
    assert redacted(text) == text


@pytest.mark.parametrize("text", [shown for _, shown in HIDDEN.values()], ids=HIDDEN)
def test_what_is_hidden_already_stays_as_it_is(text):
    assert redacted(text) == text

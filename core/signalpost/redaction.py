"""Hides what looks like a credential in the log, whoever logs it: a plugin may log a whole head, or an address.

Secrets of routes.yaml are hidden by their values (`signalpost.cli.secrets`). Those of clients are not known here, so
they are found by where they stand: tokens, cookies, parameters of addresses, members of JSON, passwords of URLs.
"""

import re

MARK = "***"

_NAMES = (
    r"(?:token|secret|passw(?:or)?d|passphrase|pwd|(?:api|access|private|signing)[_-]?key|credentials?|signature"
    r"|authorization|cookie)"
)
_MEMBER = rf"[\w.-]*{_NAMES}"
_HEADER = r"(?:(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|signalpost-session)"

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Lines of a head, as they are and in a repr or JSON: whatever the value holds, up to the end of the line.
    (re.compile(rf"(?im)^({_HEADER}:[ \t]*)\S[^\r\n]*"), rf"\1{MARK}"),
    (re.compile(rf"(?i)(?<=\n)([\w-]*{_NAMES}:[ \t]*)\S[^\r\n]*"), rf"\1{MARK}"),
    (
        re.compile(rf"(?i)(?<=\\n)([\w-]*(?:{_NAMES}|{_HEADER}):[ \t]*)(?=\S)(?:[^\r\n\\]|\\(?![rn]))+"),
        rf"\1{MARK}",
    ),
    # Authorization: Bearer …; Cookie: a="1"; … elsewhere, up to what may be the end of a text.
    (
        re.compile(
            rf"(?i)(?<![\w.])({_HEADER})"
            r"""(["']?\s*[:=]\s*(?:b?["'])?)[^\s"'\\](?:=\\*"[^"\r\n]*"|[^"'\r\n\\])*"""
        ),
        rf"\1\2{MARK}",
    ),
    (re.compile(r"(?i)\b(bearer)\s+(?=[^\s\"']*[0-9._~+/=-])[\w.~+/=-]{8,}"), rf"\1 {MARK}"),
    # JSON Web Tokens, and what browsers offer as subprotocols since they cannot send headers.
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*){0,3}"), MARK),
    (re.compile(r"\b(signalpost\.(?:bearer|session)\.)[\w.~+/=-]+"), rf"\1{MARK}"),
    # ?access_token=…&key=…, and token=… anywhere.
    (
        re.compile(rf"""(?i)((?:[?&](?:key|code|auth|sig|session|sid)|(?<![\w.-]){_MEMBER})=)[^\s&"'<>;,)}}]+"""),
        rf"\1{MARK}",
    ),
    # {"password": "…"}, {'token': '…'}, ('cookie', '…'); what is no text is no secret.
    (
        re.compile(rf"""(?i)(\(?b?(["']){_MEMBER}\2\s*:\s*b?)(["'])(?:(?!\3)[^\\]|\\.)*(?:\3|$)"""),
        rf"\1\3{MARK}\3",
    ),
    (
        re.compile(rf"""(?i)(\(b?(["']){_MEMBER}\2\s*,\s*b?)(["'])(?:(?!\3)[^\\]|\\.)*(?:\3|$)"""),
        rf"\1\3{MARK}\3",
    ),
    # The same in JSON that stands in JSON, or in a repr of it, where quotes have backslashes.
    (
        re.compile(rf"""(?i)((\\+["']){_MEMBER}\2\s*:\s*)(\\+["'])(?:(?!\3)(?:[^\\]|\\+[^\\]))*(?:\3|\\*$)"""),
        rf"\1\3{MARK}\3",
    ),
    # redis://user:password@host
    (re.compile(r"(://[^\s/@:\"']*:)[^\s/\"']+@"), rf"\1{MARK}@"),
)


# One of these is in each text, in lower case, that a rule changes: nearly all lines have none.
_SIGNS = (
    *("token", "secret", "passw", "passphrase", "pwd", "key", "credential", "signature", "authorization", "cookie"),
    *("bearer", "session", "eyj", "code=", "auth=", "sig=", "sid="),
)


def redacted(text: str) -> str:
    """Return a text in which what looks like a credential is hidden."""
    lowered = text.lower()
    if not any(sign in lowered for sign in _SIGNS) and not ("://" in lowered and "@" in lowered):
        return text
    for pattern, shown in _RULES:
        text = pattern.sub(shown, text)
    return text

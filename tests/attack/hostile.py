"""Makes what is bad to judge by chance: JSON values, schemas, templates, and requests with bodies, for the fuzzer.

Everything takes its choices from one `random.Random`, so what it makes can be made again.
"""

import json

NUMBERS = (
    *("0", "1", "-1", "-0.0", "2", "0.1", "0.01", "4.02", "1.5", "1e19", "1e20", "1e308", "-1e308", "5e-324", "1e-7"),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615", "123456789.123456789"),
)
TEXTS = (
    *('""', '"a"', '"b"', '"p1"', '"é"', '"😀"', '"1e99"', '"[{,\\",]}"', '"\\u0000"', '"2026-01-01"', '"a@b.c"'),
    *('"xn--a"', '"é.b"', '"1.1.1.1"', '"((((("', '"aaaaaaaaaaaaaaaaaaaaaaaa!"', '"abababababababababababab"'),
)
PARTS = ("a", "ab", "é", "(", "a.", "é.", "/", "9", ",", "{", "😀", "\\u0061", "x{9}", "%41", "{{ ", "<&>", "\\u202e")
NAMES = ("a", "b", "p1", "k", "list", "user", "name", "__class__", "items", "1", "é", "")


def value(chance, size, depth=3):
    """Make the text of a JSON value of about so many bytes, or far fewer."""
    match chance.randrange(10) if depth and size > 8 else chance.randrange(3):
        case 0:
            return chance.choice(NUMBERS)
        case 1:
            return chance.choice(TEXTS)
        case 2:
            return chance.choice(("true", "false", "null", "[]", "{}"))
        case 3:
            return f'"{chance.choice(PARTS) * (size // 8)}"'
        case 4:
            levels = min(chance.choice((3, 60, 900)), size // 2)
            return "[" * levels + value(chance, size - 2 * levels, depth - 1) + "]" * levels
        case 5:
            start, step = chance.choice((0, 10**19, 2**53, 2**61 - 1)), chance.choice((-1, 1, 2, 2**11))
            return _filled("[]", (str(max(start + step * number, -(2**62)) % 2**64) for number in range(size)), size)
        case 6:
            shape = chance.choice(('"k%d":1', '"%d":%d', '"p%d":"x"', '"a%d":[]', '"%064d":1'))
            return _filled("{}", (shape % ((number,) * shape.count("%")) for number in range(size)), size)
        case 7:
            shape = chance.choice(("[%d]", '{"a":%d}', '"%d"', "%d.5", "[[],[%d]]", '{"%d":[{}]}', "%de19"))
            return _filled("[]", (shape % number for number in range(size)), size)
        case 8:
            members = (f'"{name}":{value(chance, size // 4, depth - 1)}' for name in chance.sample(NAMES, 4))
            return "{" + ",".join(members) + "}"
        case _:
            item = value(chance, chance.choice((4, 30, size // 3)), depth - 1)
            return _filled("[]", (item for _ in range(size)), size)


def _filled(brackets, items, size):
    taken, room = [], size - 2
    for item in items:
        room -= len(item) + 1
        if room < 0:
            break
        taken.append(item)
    return brackets[0] + ",".join(taken) + brackets[1]


# Schemas

PATTERNS = (
    *(
        "^a",
        "b$",
        "^[a-z]+$",
        "(a+)+$",
        "a[ab]{20}[cd]",
        "a.{50}[cd]",
        r"^\p{L}{1,40}$",
        "(a|b|ab){1,60}c",
        "^p\\d",
        "x",
    ),
    *(r"^[^\s@]+@[^\s@]+$", "(a.{0,99}b.{0,99}){2}c", "^.*$", "[0-9]{3,300}"),
)
FORMATS = (
    *("email", "idn-email", "hostname", "idn-hostname", "uri", "iri", "uri-reference", "uri-template", "regex"),
    *("date-time", "ipv6", "json-pointer", "uuid", "duration"),
)
DRAFTS = (
    *("http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#"),
    *("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema"),
)
LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
ONE = ("not", "if", "then", "else", "contains", "items", "additionalProperties", "propertyNames", "unevaluatedItems")
SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "patternProperties", "dependentSchemas", "dependencies")


def schema(chance):
    """Make a schema: a mapping, which may not compile."""
    made = {"$defs": {name: _part(chance, 2) for name in ("x", "y")}, **_part(chance, 3)}
    if not chance.randrange(4):
        made["$schema"] = chance.choice(DRAFTS)
    return made


def _part(chance, depth):
    part = {}
    for _ in range(chance.choice((1, 1, 2, 3))):
        part |= _keyword(chance, depth)
    return part


def _keyword(chance, depth):
    return chance.choice(_KEYWORDS)(chance, depth)


def _below(chance, depth):
    return _part(chance, depth - 1) if depth else {"type": chance.choice(("integer", "string", "array"))}


def _options(chance, _depth):
    some = chance.choice((1, 3, 30))
    options = [json.loads(value(chance, chance.choice((8, 60)), 2)) for _ in range(some)]
    return {"enum": options} if chance.randrange(3) else {"const": options[0]}


def _named(chance, depth):
    key = chance.choice(NAMED)
    names = PATTERNS if key == "patternProperties" else ("message", "k1", "p1", *NAMES)
    return {key: {name: _below(chance, depth) for name in chance.sample(names, chance.choice((1, 3, 5)))}}


def _required(chance, _depth):
    names = [f"k{number}" for number in range(chance.choice((1, 3, 30)))]
    return {"required": names} if chance.randrange(2) else {"dependentRequired": dict.fromkeys(names, names)}


def _reference(chance, _depth):
    return {"$ref": chance.choice(("#", "#/$defs/x", "#/$defs/y"))}


_KEYWORDS = (
    lambda chance, _: {chance.choice(LIMITS): json.loads(chance.choice(NUMBERS))},
    lambda chance, _: {"multipleOf": abs(json.loads(chance.choice(NUMBERS))) or 3},
    lambda _chance, _: {"uniqueItems": True},
    lambda chance, _: {"pattern": chance.choice(PATTERNS)},
    lambda chance, _: {"format": chance.choice(FORMATS)},
    lambda chance, _: {chance.choice(COUNTS): chance.choice((0, 1, 5, 1000))},
    lambda chance, depth: {chance.choice(SEVERAL): [_below(chance, depth) for _ in range(chance.choice((1, 3, 8)))]},
    lambda chance, depth: {chance.choice(ONE): _below(chance, depth)},
    lambda chance, depth: {chance.choice(ONE): _below(chance, depth)},
    lambda chance, depth: {"unevaluatedProperties": _below(chance, depth), "type": ["object", "array", "number"]},
    _options,
    _named,
    _required,
    _reference,
    _reference,
)


# Templates

ATOMS = ("message", "data", "data.a", "data.list", "data.user.name", "'x'", "[]", "{}", "3", "1000", "0.5", "none", "x")
FILTERS = (
    *("length", "list", "sort", "unique", "join", "json", "string", "upper", "reverse", "first", "last", "sum", "max"),
    *("items", "dictsort", "groupby('a')", "map(attribute='a')", "select", "replace('a', 'bbbb')", "urlencode", "int"),
    *("truncate(5)", "title", "wordcount", "center(1000)", "round", "escape", "default('x')", "sort(attribute='a')"),
)
METHODS = (
    "split('a')",
    "split()",
    "count('a')",
    "casefold()",
    "partition('a')",
    "splitlines()",
    "title()",
    "find('b')",
)
OPERATORS = ("+", "*", "~", "-", "//", "%", "**", "==", "<", "in", "and", "or")


def expression(chance, depth=3):
    """Make an expression of a template."""
    if not depth or not chance.randrange(4):
        return chance.choice(ATOMS)

    def inner():
        return expression(chance, depth - 1)

    match chance.randrange(9):
        case 0 | 1:
            return f"({inner()} {chance.choice(OPERATORS)} {inner()})"
        case 2 | 3:
            return f"({inner()} | {chance.choice(FILTERS)})"
        case 4:
            return f"{inner()}.{chance.choice(METHODS)}"
        case 5:
            return f"{inner()}[{inner()}:]"
        case 6:
            return f"[{inner()}, {inner()}]"
        case 7:
            return f"({inner()} if {inner()} else {inner()})"
        case _:
            return f"{inner()}[{inner()}]"


def template(chance):
    """Make a template."""
    one, other = expression(chance), expression(chance)
    return chance.choice(
        (
            f"{{{{ {one} }}}}",
            f"a {{{{ {one} }}}} b {{{{ {other} }}}}",
            f"{{% for x in {one} %}}{{{{ x }}}},{{% endfor %}}",
            f"{{% for x in {one} %}}{{% for y in {other} %}}{{{{ x }}}}{{% endfor %}}{{% endfor %}}",
            f"{{% set x = {one} %}}{{{{ x ~ {other} }}}}",
        )
    )


# Requests

TYPES = (
    *(
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=a",
        "",
        "é",
    ),
    *("application/json; charset=utf-16", "APPLICATION/JSON", "application/x-www-form-urlencoded; charset=latin-1"),
)


def request(chance, size):
    """Make a request with a body: its head and what follows, framed in one of many ways."""
    body = _body(chance, size)
    kind = chance.choice(TYPES)
    head = [
        f"{chance.choice(('POST', 'POST', 'PUT', 'GET', 'BREW'))} {chance.choice(('/checked', '/form', '/any', '/x'))}"
    ]
    head[0] += f" HTTP/{chance.choice(('1.1', '1.1', '1.1', '1.0', '2.0'))}"
    head += ["Host: localhost", "Connection: close"]
    head += [f"Content-Type: {kind}"] if kind else []
    match chance.randrange(7):
        case 0 | 1 | 2:
            head.append(f"Content-Length: {len(body)}")
        case 3:
            head.append(
                f"Content-Length: {chance.choice((0, len(body) - 1, len(body) + 1, 10**30, '+5', ' 5', '5, 5', ''))}"
            )
        case 4:
            head += ["Transfer-Encoding: chunked", f"Content-Length: {len(body)}"]
            body = _chunked(chance, body)
        case _:
            head.append(
                f"Transfer-Encoding: {chance.choice(('chunked', 'chunked', 'Chunked', 'gzip, chunked', 'identity'))}"
            )
            body = _chunked(chance, body)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _body(chance, size):
    match chance.randrange(4):
        case 0:
            part = chance.choice(("a=1&", "a&", "=", "&", "%41", "+", "%", "a=%zz&", "k%5B%5D=1&"))
            return (part * (size // len(part))).encode()
        case 1:
            return chance.randbytes(chance.choice((0, 1, 30, size)))
        case _:
            return value(chance, size).encode()


def _chunked(chance, body):
    size = chance.choice((1, 7, 1000, 1 << 16)) if len(body) < 5_000 else chance.choice((1000, 1 << 16))
    shape = chance.choice(("%x\r\n", "%X\r\n", "%x;a=b\r\n", "000%x\r\n", "0x%x\r\n", "%x \r\n", "%x\n"))
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    end = chance.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"0\r\n", b"", b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    )
    return b"".join((shape % len(piece)).encode() + piece + b"\r\n" for piece in pieces) + end


_PIECES = (
    *("a", "A", "0", "_", "-", ".", " ", "\t", ",", ";", ":", "/", "%", "=", "&", "*", "[", "{", '"', "\\", "?", "#"),
    *("\n", "\r\n", " \n", "a.", "a-", "a,", ", ", "a;", 'a="', '\\"', "a=", "::", "//", "%2F", "%25", "%", "…", "é"),
    *("\u200b", "\U0001f600", "http://", "a:", "0:", "1.", '{"error":', "gzip;q=0,", "bytes=0-", "hunter"),
)


def text(chance, size):
    """Make a text of a few pieces, one of them over and over: what an expression that looks back goes through often."""
    piece, few = chance.choice(_PIECES), lambda: "".join(chance.choices(_PIECES, k=chance.randrange(4)))
    if not chance.randrange(3):
        piece += chance.choice(_PIECES)
    return f"{few()}{piece * (size // len(piece))}{few()}"[:size]

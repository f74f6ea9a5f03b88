"""``signalpost asyncapi``: the signals of an app as an AsyncAPI 3.0 document, with the WebSocket binding 0.1.0.

The document is about the server: it *receives* what clients send, and *sends* what they read. A channel is a connection
to one path. What clients read has two forms: plain clients read the value (message ``value``), and clients of the
subprotocol ``signalpost.v1`` read an object with one key, ``signal`` or ``reply`` with the value in it, or a notice.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from signalpost.cli.contract import Document, SignalContract, contracts
from signalpost.config.authmodel import MayWord, Verb
from signalpost.config.model import EndpointConfig
from signalpost.jsonschemas.draft7 import Rewriter, component_name
from signalpost.jsonschemas.references import Names
from signalpost.paths import SEGMENT_SAFE, Parameter, ParameterType, PathPattern
from signalpost.plan import Plan

_SCHEMAS, _MESSAGES = "#/components/schemas/", "#/components/messages/"
_FURTHER: Mapping[str, Document] = {
    "ref": {
        "type": ["string", "integer"],
        "maxLength": 64,
        "description": "The client's own mark: of signalpost.v1, a message with it gets exactly one answer.",
    },
    "once": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "description": "By which a repeat of the message is known, so that it is not done twice (signalpost.v1).",
    },
}
_AT = {"type": "string", "description": "A position in what is sent to a path, to come back with."}
_REF = {"type": ["string", "integer"], "description": "That of the message."}
_AGAIN = {"const": True, "description": "It answers a repeat."}
_ABOUT = (
    "Made by `signalpost asyncapi`. A channel is a WebSocket connection to its address. Plain clients read values as "
    "they are. Clients that ask for the subprotocol signalpost.v1 read objects with one key, and must ignore keys that "
    "they do not know."
)
_WORD = re.compile(r"[A-Za-z0-9_]+")
_PARAMETER = re.compile(r"<(\w+)(?::\w+)?>")
_NOTICES: Mapping[str, str] = {
    "welcome": "The first object that a client reads: its clientId, path and session, and at, its position.",
    "ack": "A message with ref is done.",
    "gap": "Values between here and the position at cannot be had.",
    "history": "What a request for the history of the path gets.",
    "presence": "Who is on the path, who came and who left.",
    "alive": "The answer to an empty text.",
    "lagged": "So many values were left out here, since the client reads slowly.",
    "bye": "The server goes; come back after retry_ms milliseconds.",
}


def _enclosed(key: str, summary: str, properties: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """Return a message whose payload is an object with one key."""
    body = {"type": "object", "required": list(required), "properties": dict(properties)}
    return {
        "title": key.capitalize(),
        "summary": summary,
        "payload": {"type": "object", "required": [key], "properties": {key: body}},
    }


_TEXT = {"type": "string"}
_ERROR = _enclosed(
    "error",
    "Why a message was refused, or that it failed; plain clients read it, too.",
    {"code": _TEXT, "pointer": _TEXT, "detail": _TEXT, "ref": _REF, "again": _AGAIN},
    ["code", "detail"],
)
_OF_TOKENS: Mapping[str, str] = {"expiring": "The token ends in so many seconds; the client may show another one."}
_TOKEN = "token"  # noqa: S105 - the name of a security scheme
_SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "In the header Authorization, or as the subprotocol signalpost.bearer.<token>.",
}


def _notice(notices: Mapping[str, str]) -> dict[str, Any]:
    return {
        "title": "Notice",
        "summary": "What clients of signalpost.v1 read besides values.",
        "payload": {
            "type": "object",
            "minProperties": 1,
            "properties": {key: {"type": "object", "description": text} for key, text in notices.items()},
        },
    }


def asyncapi_text(plan: Plan, title: str | None, version: str) -> str:
    """Return the document of an app, as JSON.

    Args:
        plan: of the app.
        title: None names the file.
        version: of the app's interface.
    """
    made = _Document(plan).made(title or f"Signals of {Path(plan.config.file).name}", version)
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


class _Document:
    """Makes the document of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rewriter = Rewriter(_SCHEMAS)
        self._values: dict[str, Any] = {}
        self._masked = plan.config.source.masked
        self._takes_tokens = plan.config.auth is not None and plan.config.auth.tokens is not None
        sockets = [endpoint for endpoint in plan.config.endpoints if endpoint.serves_sockets]
        self._servers = dict(zip(_unique(self._masked(each.name) for each in sockets), sockets, strict=True))

    def made(self, title: str, version: str) -> dict[str, Any]:
        found = list(contracts(self._plan, self._rewriter.names, _FURTHER))
        names = _unique(_words(each.path) for each in found)
        channels = {name: self._channel(name, each) for name, each in zip(names, found, strict=True)}
        operations = {
            key: operation
            for name, each in zip(names, found, strict=True)
            for key, operation in _operations(name, each, channels[name]["messages"], self._security(each))
        }
        notices = {**_NOTICES, **(_OF_TOKENS if self._takes_tokens else {})}
        schemes = {"securitySchemes": {_TOKEN: _SECURITY}} if self._takes_tokens else {}
        return {
            "asyncapi": "3.0.0",
            "info": {"title": title, "version": version, "description": _ABOUT},
            "defaultContentType": "application/json",
            "servers": {name: self._server(endpoint) for name, endpoint in self._servers.items()},
            "channels": channels,
            "operations": operations,
            "components": {
                "schemas": {**self._values, **dict(self._rewriter.components())},
                "messages": {"error": _ERROR, "notice": _notice(notices)},
                **schemes,
            },
        }

    def _security(self, contract: SignalContract) -> Mapping[str, Any]:
        """Return what an operation says of who may connect: with a token, unless anyone may."""
        permits = contract.rule.permits
        permission = None if permits is None else permits.rules.get(Verb.CONNECT)
        if not self._takes_tokens or permission is None or permission.word is MayWord.ANYONE:
            return {}
        return {"security": [{"$ref": f"#/components/securitySchemes/{_TOKEN}"}]}

    def _server(self, endpoint: EndpointConfig) -> dict[str, Any]:
        scheme, _, host = self._masked(endpoint.url).partition("://")
        if endpoint.socket:
            return {"host": "localhost", "protocol": scheme, "description": f"At the Unix socket {host}."}
        return {"host": host, "protocol": scheme}

    def _channel(self, name: str, contract: SignalContract) -> dict[str, Any]:
        rule = contract.rule
        parameters = {each.name: {"description": _MEANING[each.type]} for each in rule.config.path.parameters}
        return {
            "address": _address(rule.config.path, contract.path),
            "title": contract.path,
            "servers": [
                {"$ref": f"#/servers/{server}"}
                for server, endpoint in self._servers.items()
                if endpoint.name in rule.endpoints
            ],
            **({"parameters": parameters} if parameters else {}),
            "messages": self._messages(name, contract),
            "bindings": {"ws": _binding(contract)},
        }

    def _messages(self, name: str, contract: SignalContract) -> dict[str, Any]:
        value = self._value(name, contract)
        shared = {each: {"$ref": f"{_MESSAGES}{each}"} for each in ("error", "notice")}
        read = {
            "value": {"title": "Value", "summary": "What plain clients read.", "payload": value},
            "signal": _enclosed(
                "signal",
                "A value, as clients of signalpost.v1 read it.",
                {"path": {"type": ["string", "null"]}, "at": _AT, "value": value},
                ["path", "value"],
            ),
        }
        if contract.message is None:
            summary = "A frame, text or binary. It is relayed unread."
            return {"frame": {"title": "Frame", "summary": summary, "payload": {}}, **read, **shared}
        message = {
            "title": "Message",
            "summary": "What a client sends.",
            "payload": self._rewriter.rewrite(contract.message),
        }
        reply = _enclosed(
            "reply",
            "The answer to a message with ref, for clients of signalpost.v1.",
            {"ref": _REF, "value": value, "again": _AGAIN},
            ["ref", "value"],
        )
        return {"message": message, **read, "reply": reply, **shared}

    def _value(self, name: str, contract: SignalContract) -> dict[str, Any]:
        """Return the schema of what clients read; as a reference, since several messages hold it."""
        schema = {} if contract.reads is None else self._rewriter.rewrite(contract.reads)
        if not schema or "$ref" in schema:
            return schema
        shared = self._rewriter.names.unique(f"{name}-value")
        self._values[shared] = schema
        return {"$ref": f"{_SCHEMAS}{shared}"}


_MEANING = {
    ParameterType.STR: "One segment of the path.",
    ParameterType.INT: "A whole number.",
    ParameterType.PATH: "All the rest of the path, with its slashes.",
}


def _operations(
    name: str, contract: SignalContract, messages: Mapping[str, Any], security: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    channel = f"#/channels/{name}"
    sent = [each for each in ("message", "frame") if each in messages]
    for action, summary, names in (
        ("receive", f"Clients on {contract.path} send messages.", sent),
        ("send", f"Clients on {contract.path} read values.", [each for each in messages if each not in sent]),
    ):
        yield (
            f"{action}-{name}",
            {
                "action": action,
                "channel": {"$ref": channel},
                "summary": summary,
                **security,
                "messages": [{"$ref": f"{channel}/messages/{each}"} for each in names],
            },
        )


def _binding(contract: SignalContract) -> dict[str, Any]:
    """Return the binding of a channel: a client that comes back says in the query what it has read last."""
    query: dict[str, Any] = {"type": "object", "properties": {}}
    if contract.rule.config.history is not None:
        query["properties"]["at"] = {
            "type": "string",
            "description": "The position of the last value that the client has read: what was sent since follows.",
        }
    return {"method": "GET", "query": query, "bindingVersion": "0.1.0"}


def _address(pattern: PathPattern, shown: str) -> str:
    """Return the address of a channel: ``/rooms/{room}``. A path that holds a secret is only shown."""
    if shown != pattern.text:
        return _PARAMETER.sub(r"{\1}", shown)
    return "/" + "/".join(
        f"{{{each.name}}}" if isinstance(each, Parameter) else quote(each, safe=SEGMENT_SAFE)
        for each in pattern.segments
    )


def _words(path: str) -> str:
    """Return what a channel is called: ``/rooms/<room>`` is ``rooms-room``."""
    return "-".join(_WORD.findall(_PARAMETER.sub(r"\1", path))) or "root"


def _unique(words: Iterable[str]) -> list[str]:
    """Return a name for each text, with a number where another has it already."""
    names = Names(component_name)
    return [names.unique(each) for each in words]

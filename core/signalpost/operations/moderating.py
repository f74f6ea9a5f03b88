"""Close connections, refuse tokens, and put clients into groups."""

from typing import Any

from signalpost.auth.revocations import DAY
from signalpost.config.authmodel import KeyPermission
from signalpost.errors import OperatorError
from signalpost.operations.operation import Arguments, Caller, Operation, OperationError
from signalpost.operations.operator import Operator
from signalpost.operations.shapes import ANY_OF_THEM, GROUP, OTHERS, WHOM, closed, text, whole
from signalpost.websocket.frames import CODES_ALLOWED, CloseCode, may_be_sent

_MATCHED = whole("Clients of this node that it was done to.", 0)
_TOLD = closed({"matched": _MATCHED, "others": OTHERS}, ("matched",))


def _others(operator: Operator) -> dict[str, bool]:
    """Return whether other nodes are told at once, if there are any."""
    known = operator.node.moderation.others_know
    return {} if known is None else {"others": known}


async def _disconnect(operator: Operator, caller: Caller, given: Arguments) -> Any:
    caller.require_path(given.get("path"))
    code = given.get("code", int(CloseCode.KICKED))
    if not may_be_sent(code):
        raise OperationError("bad-request", f"code {code} must not be sent ({CODES_ALLOWED})", "/code")
    matched = operator.node.moderation.kick(
        by=caller.name,
        user=given.get("user"),
        client_id=given.get("client"),
        path=given.get("path"),
        group=given.get("group"),
        code=code,
        reason=given.get("reason", ""),
    )
    return {"matched": matched, **_others(operator)}


DISCONNECT = Operation(
    "disconnect",
    "Close connections; the clients may come again.",
    KeyPermission.MODERATE,
    reads=False,
    arguments=closed(
        {
            **WHOM,
            "code": whole(f"Of the close ({CODES_ALLOWED}).", 1_000, 4_999, int(CloseCode.KICKED)),
            "reason": {"type": "string", "maxLength": 1_024, "description": "For people.", "default": ""},
        },
        anyOf=ANY_OF_THEM,
    ),
    answer=_TOLD,
    function=_disconnect,
    detail="Clients must match all that is given. Of several nodes, all close theirs; matched counts this one's.",
)


async def _revoke(operator: Operator, caller: Caller, given: Arguments) -> Any:
    caller.require_path(None)
    if "token_id" in given and ("user" in given or "before" in given):
        text = "either a user is named, with before if need be, or the id of a token"
        raise OperationError("bad-request", text, "/token_id")
    try:
        matched = operator.node.moderation.revoke(
            by=caller.name,
            user=given.get("user"),
            token_id=given.get("token_id"),
            before=given.get("before"),
            seconds=given.get("seconds", DAY),
        )
    except ValueError as error:
        raise OperationError("bad-request", str(error)) from None
    except OperatorError as error:
        raise OperationError("refused", str(error)) from None
    return {"matched": matched, **_others(operator)}


REVOKE = Operation(
    "revoke",
    "Refuse tokens that are still good, and close connections that were made with them.",
    KeyPermission.MODERATE,
    reads=False,
    arguments=closed(
        {
            "user": {**WHOM["user"], "description": "All tokens of this user that were issued before a moment."},
            "token_id": text("The one token of this id (jti)."),
            "before": {"type": "number", "description": "That moment, in seconds since 1970. Without it, now."},
            "seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": DAY,
                "description": "For how long. Longer than such tokens are good is enough.",
            },
        },
        anyOf=[{"required": ["user"]}, {"required": ["token_id"]}],
    ),
    answer=_TOLD,
    function=_revoke,
    detail="Of several nodes, all do; matched counts the connections of this one.",
)


async def _join(operator: Operator, caller: Caller, given: Arguments) -> Any:
    return _regroup(operator, caller, given, joins=True)


async def _leave(operator: Operator, caller: Caller, given: Arguments) -> Any:
    return _regroup(operator, caller, given, joins=False)


def _regroup(operator: Operator, caller: Caller, given: Arguments, *, joins: bool) -> Any:
    caller.require_path(given.get("path"))
    node = operator.node
    targets = node.broadcaster.targets(None, given.get("path"), None, given.get("client"), given.get("user"))
    return {"matched": node.grouping.regroup(targets, given["group"], joins=joins), **_others(operator)}


_WHO = {name: WHOM[name] for name in ("client", "user", "path")}
_GROUPING = closed({**_WHO, "group": GROUP}, ("group",), anyOf=[{"required": [name]} for name in _WHO])

JOIN = Operation(
    "join",
    "Put clients into a group.",
    KeyPermission.MODERATE,
    reads=False,
    arguments=_GROUPING,
    answer=_TOLD,
    function=_join,
    detail="Clients must match all that is given. Of several nodes, all do it; matched counts this one's.",
)
LEAVE = Operation(
    "leave",
    "Take clients out of a group.",
    KeyPermission.MODERATE,
    reads=False,
    arguments=_GROUPING,
    answer=_TOLD,
    function=_leave,
    detail=JOIN.detail,
)

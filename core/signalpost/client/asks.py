"""What was asked and is not answered yet."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import orjson

from signalpost.client.errors import RefusedError
from signalpost.client.line import Line
from signalpost.client.progress import text_or_none
from signalpost.client.values import Answer, History, Signal

ANSWERS = ("ack", "reply", "error", "history")


class Ask:
    """One message or request that is to be answered.

    Attributes:
        text: to send.
        answer: becomes what `Room.ask` or `Room.history` returns.
        sent: the connection on which it was sent last.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sent: Line | None = None


class Asks:
    """All that is not answered yet, in the order in which it was asked."""

    def __init__(self) -> None:
        self._by_ref: dict[int, Ask] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_ref)

    def __iter__(self) -> Iterator[Ask]:
        return iter(tuple(self._by_ref.values()))

    def add(self, document: Mapping[str, Any]) -> tuple[int, Ask]:
        """Add a message or request; return its `ref`, which is added to it.

        Raises:
            TypeError: it is not JSON.
        """
        self._last += 1
        ask = Ask(orjson.dumps({**document, "ref": self._last}).decode())
        self._by_ref[self._last] = ask
        return self._last, ask

    def next_ref(self) -> int:
        """Return a `ref` for what is answered elsewhere."""
        self._last += 1
        return self._last

    def remove(self, ref: int) -> None:
        """Called when nobody waits for an answer any more."""
        self._by_ref.pop(ref, None)

    def answered(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Called for each answer; return whether somebody waits for it."""
        ask = self._by_ref.get(ref) if isinstance(ref := body.get("ref"), int) else None
        if ask is None:
            return False
        if not ask.answer.done():
            if kind == "error":
                ask.answer.set_exception(refusal(body))
            else:
                ask.answer.set_result(_history(body) if kind == "history" else _answer(kind, body))
        return True

    def fail(self, error: Exception) -> None:
        """Called when no answer will come any more."""
        for ask in self._by_ref.values():
            if not ask.answer.done():
                ask.answer.set_exception(error)


def refusal(body: Mapping[str, Any]) -> RefusedError:
    """Return an `error` as an exception."""
    code, detail, pointer = (text_or_none(body.get(key)) or "" for key in ("code", "detail", "pointer"))
    return RefusedError(code or "refused", detail, pointer, again=body.get("again") is True)


def signal_of(body: Mapping[str, Any]) -> Signal:
    """Return a `signal` as a value."""
    return Signal(body.get("value"), text_or_none(body.get("path")), text_or_none(body.get("at")))


def _answer(kind: str, body: Mapping[str, Any]) -> Answer:
    which: Literal["ack", "reply"] = "reply" if kind == "reply" else "ack"
    return Answer(which, body.get("value"), text_or_none(body.get("at")), body.get("again") is True)


def _history(body: Mapping[str, Any]) -> History:
    signals = body.get("signals")
    found = [each for each in signals if isinstance(each, Mapping)] if isinstance(signals, list) else []
    return History(tuple(map(signal_of, found)), text_or_none(body.get("at")), body.get("more") is True)

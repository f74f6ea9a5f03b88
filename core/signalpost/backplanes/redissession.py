"""Both connections to Redis, which are made together and end together."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from signalpost.backplanes.backplane import AwayError, Hearing, RefusedError
from signalpost.backplanes.redisaddress import Address
from signalpost.backplanes.redisdial import dial
from signalpost.backplanes.rediskeeping import Keeping
from signalpost.backplanes.rediskeys import Keys, raw
from signalpost.backplanes.redispipeline import Pipeline
from signalpost.backplanes.redisreplies import anything
from signalpost.backplanes.redisscripts import SCRIPTS
from signalpost.backplanes.redissubscription import Subscription

_OLDEST = (6, 2)
_MODES = {
    b"cluster": "is a Redis Cluster, which signalpost cannot use; it needs one server, with replicas if you like",
    b"sentinel": "is a Sentinel; the backplane is the server that it watches",
}


class Session:
    """A connection for commands, and one that listens.

    When the one that listens ends, that for commands takes no more, and lasts until `finish`: what is under way may
    still be answered.

    Args:
        pipeline: for commands.
        subscription: listens.
        keys: names of what is kept.
        on_end: called once, with the reason, when either of them ends.

    Attributes:
        pipeline: see above.
        subscription: see above.
        keeping: keeps entries.
        ended: whether either has ended.
    """

    def __init__(
        self, pipeline: Pipeline, subscription: Subscription, keys: Keys, on_end: Callable[[str], None]
    ) -> None:
        self.pipeline = pipeline
        self.subscription = subscription
        self.keeping = Keeping(pipeline, keys)
        self.ended = asyncio.Event()
        self._on_end = on_end
        pipeline.on_end = subscription.on_end = self.end

    def end(self, why: str) -> None:
        """Called when either connection ends, or is to be given up."""
        if not self.ended.is_set():
            self.ended.set()
            self.subscription.lose(why)
            self._on_end(why)

    async def finish(self, seconds: float) -> None:
        """Wait for the answers that are under way, for some seconds at most, and close what is open."""
        try:
            if self.pipeline.owed:
                await asyncio.wait({self.pipeline.ask(anything, b"PING")}, timeout=seconds)
        finally:
            self.end("it is closed")
            self.pipeline.lose("it is closed")


async def open_session(  # noqa: PLR0917 - what a session is made of
    address: Address,
    name: str,
    silence: float,
    hearing: Hearing,
    followed: Collection[str],
    on_end: Callable[[str], None],
) -> Session:
    """Connect twice, and hear what is followed.

    Args:
        address: of the server.
        name: of the app.
        silence: see `signalpost.backplanes.redisline.Line`.
        hearing: called with what is heard, once the subscription is released.
        followed: channels; they may change meanwhile.
        on_end: see `Session`.

    Raises:
        AwayError: Redis is not there.
        RefusedError: it will not serve this node.
    """
    keys = Keys(name, address.database)
    pipeline = Pipeline(await dial(address, silence), address, silence)
    try:
        await _greet(pipeline, name)
        subscription = Subscription(await dial(address, silence), address, silence, keys, hearing)
        try:
            while missing := [channel for channel in followed if channel not in subscription.heard]:
                await subscription.follow(missing)
            subscription.unfollow([channel for channel in subscription.wanted if channel not in followed])
            if pipeline.why is not None:
                raise AwayError(f"{address} was lost: {pipeline.why}")  # noqa: TRY301 - as if a command had failed
            return Session(pipeline, subscription, keys, on_end)
        except BaseException:
            subscription.lose("it is of no use")
            raise
    except BaseException:
        pipeline.lose("it is of no use")
        raise


async def _greet(pipeline: Pipeline, name: str) -> None:
    """Ask who is there, and load the scripts."""
    asked = [
        pipeline.ask(lambda reply: _judge(reply, pipeline.address), b"HELLO"),
        *(pipeline.ask(anything, b"SCRIPT", b"LOAD", script.source) for script in SCRIPTS),
    ]
    named = pipeline.ask(anything, b"CLIENT", b"SETNAME", raw(f"signalpost:{name}"))
    await asyncio.wait({*asked, named})
    if pipeline.garbled:
        raise RefusedError(f"{pipeline.address} is no Redis: it does not speak its protocol")
    for answer in asked:
        answer.result()  # a name is a courtesy, and may be forbidden


def _judge(reply: Any, address: Address) -> None:
    """Judge what HELLO says, a list of names and values.

    Raises:
        AwayError: it is no master yet.
        RefusedError: it is too old, or of a kind that does not serve.
    """
    about = dict(zip(reply[::2], reply[1::2], strict=True))
    mode, version = about.get(b"mode"), about.get(b"version", b"").decode(errors="replace")
    if mode in _MODES:
        raise RefusedError(f"{address} {_MODES[mode]}")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < _OLDEST:
        raise RefusedError(f"{address} is Redis {version}, and signalpost needs 6.2 or later, or Valkey")
    if about.get(b"role") != b"master":
        raise AwayError(f"{address} is a replica; it is tried again until it is the master")

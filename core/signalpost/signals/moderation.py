"""Moderation: clients are sent away, users banned, tokens revoked; by steps, plugins and commands alike.

What takes effect at once is done to the clients that are here; the rest is remembered (`signalpost.auth.revocations`),
and asked at each handshake. Each deed is a line of the log, with who did it and to how many.

Where there are other nodes, they are told (`Elsewhere`). What is returned and logged are the clients of this one.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from signalpost.auth.identity import Identity
from signalpost.auth.revocations import BANNED, DAY, REVOKED, Kind, Refusal, Revocations
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import Target
from signalpost.observe import Observer
from signalpost.units import format_duration
from signalpost.websocket.frames import CODES_ALLOWED, CloseCode, may_be_sent
from signalpost.words import printable, quoted

LOG = logging.getLogger(__name__)

_SHOWN = 80  # characters of a name in the log
_LATER = " here; the backplane is away, so the other nodes do not know yet"
_MAY_STAY = " here; the backplane is away, so clients of other nodes may stay"


class Targets(Protocol):
    """Makes targets of names; see `signalpost.signals.broadcast.Broadcaster.targets`."""

    def __call__(
        self, to: None, path: str | None, group: str | None, client: str | None, user: str | None, /
    ) -> Sequence[Target]:
        """Return the targets that the names make up together; none without any name."""


class Elsewhere(Protocol):
    """Does on other nodes what is done here; see `signalpost.cluster.moderation.SharedModeration`."""

    @property
    def reached(self) -> bool:
        """Whether the other nodes can be told now."""

    def kick(self, targets: Sequence[Target], code: int, reason: str) -> None:
        """Close the clients of targets."""

    def refuse(self, kind: Kind, name: str, reason: str) -> None:
        """Make a ban or revocation, which this node knows already, known."""

    def lift(self, kind: Kind, name: str) -> None:
        """End a ban or revocation, which this node may not have known."""


class Moderation:
    """Sends clients away, and keeps them away; see `signalpost.events.Moderator` for its methods.

    Args:
        hub: of the clients.
        targets: makes targets of names.
        observer: notified; None for no observer.
        clock: returns Unix seconds.

    Attributes:
        revocations: who is not let in.
        elsewhere: tells the other nodes; None if there are none.
    """

    __slots__ = ("_clock", "_hub", "_targets", "elsewhere", "observer", "revocations")

    def __init__(
        self, hub: Hub, targets: Targets, observer: Observer | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._hub = hub
        self._targets = targets
        self.observer = observer
        self._clock = clock
        self.revocations = Revocations(clock)
        self.elsewhere: Elsewhere | None = None

    def now(self) -> float:
        """Return the present moment, in Unix seconds."""
        return self._clock()

    def refusal(self, identity: Identity) -> Refusal | None:
        """Return why somebody is not let in, or has to go; None for anybody else. Asked at handshakes and renewals."""
        return self.revocations.refusal(identity, self._clock())

    def kick(
        self,
        *,
        by: str,
        user: str | None = None,
        client_id: str | None = None,
        path: str | None = None,
        group: str | None = None,
        code: int = CloseCode.KICKED,
        reason: str = "",
    ) -> int:
        """Close the connections of clients that match all that is given; they may come again."""
        if not may_be_sent(code):
            raise ValueError(f"code {code} must not be sent ({CODES_ALLOWED})")
        targets = self._targets(None, path, group, client_id, user)
        if not targets:
            raise TypeError("kick sends nobody away without a user, a client, a path or a group")
        count = self.kick_here(targets, code, reason)
        if self.elsewhere is not None:
            self.elsewhere.kick(targets, code, reason)
        given = {"user": user, "client": client_id, "path": path, "group": group}
        whom = ", ".join(f"{what} {quoted(name, _SHOWN)}" for what, name in given.items() if name is not None)
        LOG.info("kick of %s by %s: %s%s", whom, printable(by), _closed(count, code), self._told(_MAY_STAY))
        return count

    def kick_here(self, targets: Iterable[Target], code: int, reason: str) -> int:
        """Close the clients of this node that targets reach; return how many."""
        found = dict.fromkeys(client for target in targets for client in self._hub.matching(target))
        return self._close(found, code, reason)

    def ban(self, user: str, seconds: float = DAY, reason: str = "", *, by: str) -> int:
        """Let nobody of this name in, whatever its token, and close the connections of who is here."""
        self.revocations.ban(user, seconds)
        count = self._refused(Kind.BAN, user, reason)
        told = _closed(count, BANNED.code) + self._told(_LATER)
        LOG.warning(
            "ban of user %s for %s by %s: %s", quoted(user, _SHOWN), format_duration(seconds), printable(by), told
        )
        return count

    def unban(self, user: str, *, by: str) -> bool:
        """End a ban; return whether there was one."""
        return self._lifted(Kind.BAN, user, by)

    def revoke(
        self,
        *,
        by: str,
        user: str | None = None,
        token_id: str | None = None,
        before: float | None = None,
        seconds: float = DAY,
    ) -> int:
        """Refuse tokens of a user that were issued before a moment, or one token, and close who is here by them."""
        kind, name = _one_of(user, token_id)
        if kind is Kind.USER:
            self.revocations.revoke_user(name, before, seconds)
        else:
            if before is not None:
                raise TypeError("before= is for tokens of a user: the one of an id is revoked whenever it was issued")
            self.revocations.revoke_token(name, seconds)
        count = self._refused(kind, name, "")
        whose, lasts = _whose(kind, name), format_duration(seconds)
        told = _closed(count, REVOKED.code) + self._told(_LATER)
        LOG.warning("revocation of %s for %s by %s: %s", whose, lasts, printable(by), told)
        return count

    def unrevoke(self, *, by: str, user: str | None = None, token_id: str | None = None) -> bool:
        """End a revocation; return whether there was one."""
        return self._lifted(*_one_of(user, token_id), by)

    def _lifted(self, kind: Kind, name: str, by: str) -> bool:
        lifted = self.revocations.lift(kind, name)
        if self.elsewhere is not None:
            self.elsewhere.lift(kind, name)
        if lifted:
            LOG.warning("%s is lifted by %s%s", _whose(kind, name), printable(by), self._told(_LATER))
        return lifted

    def _refused(self, kind: Kind, name: str, reason: str) -> int:
        count = self.close_refused(kind, name, reason)
        if self.elsewhere is not None:
            self.elsewhere.refuse(kind, name, reason)
        return count

    def close_refused(self, kind: Kind, name: str, reason: str) -> int:
        """Close the clients of this node that a ban or revocation refuses; return how many.

        Args:
            kind: of it.
            name: of the user, or the id of the token.
            reason: for people; empty is the usual one.
        """
        if kind is Kind.TOKEN:
            found = [client for client in self._hub.identified() if client.identity.token_id == name]
        else:
            found = self._hub.of_user(name)
        return self._close_refused(found, BANNED if kind is Kind.BAN else REVOKED, reason)

    @property
    def others_know(self) -> bool | None:
        """Whether other nodes are told at once; None if there are none."""
        return None if self.elsewhere is None else self.elsewhere.reached

    def _told(self, otherwise: str) -> str:
        known = self.others_know
        return "" if known is None else " here, and the other nodes are told" if known else otherwise

    def _close_refused(self, clients: Iterable[Client], refusal: Refusal, reason: str = "") -> int:
        # Of those who have disconnected by themselves, messages may still be waiting.
        refused = [each for each in (*clients, *self._hub.closing) if self.refusal(each.identity) is not None]
        for client in refused:
            client.refused = True
            client.dismiss()
        return self._close(refused, refusal.code, reason or refusal.reason)

    def _close(self, clients: Iterable[Client], code: int, reason: str) -> int:
        count = 0
        said = reason.encode(errors="replace").decode()
        for client in clients:
            if not client.closing:
                client.close(code, said)
                count += client.closing
        if self.observer is not None and count:
            self.observer.kicked(int(code), count)
        return count


def _one_of(user: str | None, token_id: str | None) -> tuple[Kind, str]:
    if user is not None and token_id is None:
        return Kind.USER, user
    if token_id is not None and user is None:
        return Kind.TOKEN, token_id
    raise TypeError("either a user is named, or the id of a token")


def _whose(kind: Kind, name: str) -> str:
    words = {Kind.BAN: "the ban of user", Kind.USER: "the tokens of user", Kind.TOKEN: "the token"}
    return f"{words[kind]} {quoted(name, _SHOWN)}"


def _closed(count: int, code: int) -> str:
    return f"{count:,} client{'' if count == 1 else 's'} closed with {int(code)}"

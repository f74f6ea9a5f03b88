"""Bans and revocations: who is not let in, whatever token it brings, and which tokens are good no more.

All of them end by themselves. They are asked at each handshake and renewal; none of that waits. The file of the state
keeps them, if there is one (`signalpost.state.revoked`).

A second one about the same name never shortens the first: the later moment and the longer life count. Whoever wants
less lifts it first.
"""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from signalpost.auth.identity import Identity
from signalpost.errors import RevocationsFullError
from signalpost.state.file import GONE
from signalpost.state.revoked import RevokedKey, RevokedRow
from signalpost.state.writer import StateWriter
from signalpost.websocket.frames import CloseCode
from signalpost.words import quoted

DAY = 86_400.0
"""Seconds that a ban or a revocation lasts unless somebody says otherwise."""

MOST = 100_000
"""Bans and revocations known at once. Beyond it a new one is an error: forgetting one would let somebody in."""

LONGEST_NAME = 1_024
"""Characters of a user's name, or of a token's id."""

_FEWEST = 64  # below this many, ended ones are not looked for


class Kind(StrEnum):
    """What is refused: a user whoever it is, tokens of a user, or one token."""

    BAN = "ban"
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a word of the file, no secret


class Refusal(NamedTuple):
    """Why somebody is refused.

    Attributes:
        code: of the close frame: 4403 is final, and 4401 asks for another token.
        reason: for people; it names nobody.
    """

    code: CloseCode
    reason: str

    def __str__(self) -> str:
        return self.reason


BANNED = Refusal(CloseCode.FORBIDDEN, "this user is banned")
REVOKED = Refusal(CloseCode.UNAUTHORIZED, "this token has been revoked")


class Revocations:
    """All bans and revocations of a server.

    Args:
        clock: returns Unix seconds.
        most: see `MOST`.
    """

    __slots__ = ("_clock", "_looked", "_note", "_rows", "most")

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        self._clock = clock
        self.most = most
        self._rows: dict[RevokedKey, RevokedRow] = {}
        self._looked = _FEWEST  # so many there may be before ended ones are looked for
        self._note: Callable[[Any, Any], None] | None = None

    def keep(self, writer: StateWriter) -> None:
        """Continue what the state's file holds, and keep it there."""
        self._rows = {key: row for key, row in writer.revoked.items() if key.kind in set(Kind)}
        self._note = writer.note
        writer.rows = self.rows
        self.forget_ended()

    def rows(self) -> Mapping[RevokedKey, RevokedRow]:
        """Return a copy of all that is kept; called from the thread that writes, too."""
        return self._rows.copy()

    def __len__(self) -> int:
        """Return how many there are, with those that have ended and are not forgotten yet."""
        return len(self._rows)

    # Asking

    def refusal(self, identity: Identity, now: float) -> Refusal | None:
        """Return why an identity is refused; None if it is not.

        Args:
            identity: of a handshake, or of a renewal.
            now: in Unix seconds.
        """
        rows = self._rows
        if not rows:
            return None
        user, token_id = identity.user, identity.token_id
        if user is not None:
            if (ban := rows.get(RevokedKey(Kind.BAN, user))) is not None and now < ban.until:
                return BANNED
            # One that does not say when it was issued may be as old as any.
            issued = -math.inf if identity.issued is None else identity.issued
            row = rows.get(RevokedKey(Kind.USER, user))
            if row is not None and now < row.until and issued < row.before:
                return REVOKED
        if token_id and (row := rows.get(RevokedKey(Kind.TOKEN, token_id))) is not None and now < row.until:
            return REVOKED
        return None

    def row(self, kind: Kind, name: str) -> RevokedRow | None:
        """Return what is known of a ban or revocation, which may have ended; None if nothing is."""
        return self._rows.get(RevokedKey(kind, name))

    # Changing

    def put(self, key: RevokedKey, row: RevokedRow | None) -> None:
        """Set what is known of a ban or revocation, as another node knows it; None is nothing."""
        if row is not None:
            self._rows[key] = row
            self._tell(key, row)
        elif self._rows.pop(key, None) is not None:
            self._tell(key, GONE)

    def ban(self, user: str, seconds: float = DAY) -> None:
        """Refuse a user for so many seconds.

        Raises:
            TypeError: the name is no text.
            ValueError: the name is empty, too long or not Unicode, or the seconds are no time.
            RevocationsFullError: there are too many.
        """
        self._add(Kind.BAN, user, 0.0, seconds)

    def revoke_user(self, user: str, before: float | None = None, seconds: float = DAY) -> None:
        """Refuse tokens of a user that were issued before a moment, now unless it is given; see `ban` for the rest.

        Args:
            user: its name.
            before: in Unix seconds.
            seconds: how long: at least as long as such tokens are good.
        """
        moment = self._clock() if before is None else before
        if not 0 <= moment < math.inf:
            raise ValueError(f"before={moment!r} is no moment: seconds since 1970 are meant")
        self._add(Kind.USER, user, moment, seconds)

    def revoke_token(self, token_id: str, seconds: float = DAY) -> None:
        """Refuse the token of an id; see `ban` for the rest."""
        self._add(Kind.TOKEN, token_id, 0.0, seconds)

    def lift(self, kind: Kind, name: str) -> bool:
        """End a ban or a revocation; return whether there was one."""
        row = self._rows.pop(RevokedKey(kind, name), None)
        if row is None:
            return False
        self._tell(RevokedKey(kind, name), GONE)
        return self._clock() < row.until

    def forget_ended(self) -> None:
        """Forget those that have ended."""
        now = self._clock()
        for key in [key for key, row in self._rows.items() if row.until <= now]:
            del self._rows[key]
            self._tell(key, GONE)
        self._looked = max(_FEWEST, 2 * len(self._rows))

    def _add(self, kind: Kind, name: str, before: float, seconds: float) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name is a text, not {name!r}")
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"a name has 1 to {LONGEST_NAME:,} characters, this one has {len(name):,}")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{quoted(name)} is no text that can be stored") from None
        if not 0 < seconds < math.inf:
            raise ValueError(f"it lasts {seconds!r} s, which is no time")
        if len(self._rows) >= min(self._looked, self.most):
            self.forget_ended()
        now, key = self._clock(), RevokedKey(kind, name)
        old = self._rows.get(key)
        if old is None and len(self._rows) >= self.most:
            raise RevocationsFullError(f"there are {self.most:,} bans and revocations, and more there may not be")
        if old is not None and now < old.until:
            row = RevokedRow(max(before, old.before), max(now + seconds, old.until))
        else:
            row = RevokedRow(before, now + seconds)
        self._rows[key] = row
        self._tell(key, row)

    def _tell(self, key: RevokedKey, row: Any) -> None:
        if self._note is not None:
            self._note(key, row)

"""Whom a record of the log is about: the client, user and path that JSON lines name in fields of their own."""

from contextvars import ContextVar
from typing import NamedTuple, Protocol


class Subject(NamedTuple):
    """Whom a record is about; None for what is unknown.

    Attributes:
        client: id of the client.
        user: who it is; None is a guest, too.
        path: of the client's connection, or of a request.
    """

    client: str | None = None
    user: str | None = None
    path: str | None = None


class Known(Protocol):
    """A client, as far as the log names it."""

    @property
    def id(self) -> str: ...  # noqa: D102 - as `signalpost.delivery.client.Client` has it

    @property
    def user(self) -> str | None: ...  # noqa: D102

    @property
    def path(self) -> str: ...  # noqa: D102


SUBJECT: ContextVar[Subject | None] = ContextVar("signalpost.subject", default=None)
"""For whom the running code of a plugin runs: its records need not name it."""


def subject_of(client: Known) -> Subject:
    """Return the subject that is a client."""
    return Subject(client.id, client.user, client.path)


def about(client: Known) -> dict[str, Subject]:
    """Return the argument ``extra`` of a record about a client."""
    return {"subject": subject_of(client)}


def about_path(path: str, user: str | None = None) -> dict[str, Subject]:
    """Return the argument ``extra`` of a record about a request."""
    return {"subject": Subject(None, user, path)}

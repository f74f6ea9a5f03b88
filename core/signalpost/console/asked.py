"""What somebody asks the console to do."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from signalpost.auth.identity import Identity
from signalpost.errors import ClientError, ErrorCode
from signalpost.http.request import WebRequest


class Asked(NamedTuple):
    """A request to do something.

    Attributes:
        identity: of who asks.
        body: what is asked: a mapping.
    """

    identity: Identity
    body: Mapping[str, Any]

    @classmethod
    def of(cls, request: WebRequest) -> "Asked":
        """Return what a request asks.

        Raises:
            ClientError: its body is no mapping.
        """
        body = request.json
        if not isinstance(body, dict):
            raise ClientError(ErrorCode.BAD_MESSAGE, "what is to be done is a JSON object")
        return cls(request.identity, body)

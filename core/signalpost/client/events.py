"""A room's connection by server-sent events, with messages posted beside it, where WebSockets do not come through."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from signalpost.client.address import Address
from signalpost.client.clock import sleep
from signalpost.client.eventreader import Event, EventReader, EventTooLargeError
from signalpost.client.failures import retry_after, status_failure
from signalpost.client.line import CLOSED_WITHOUT_A_WORD, LineEndedError
from signalpost.client.progress import Progress
from signalpost.client.settings import Settings
from signalpost.client.waits import Waits

if TYPE_CHECKING:
    import httpx

WHEREABOUTS = "/.well-known/signalpost"
_WHEREABOUTS_TIMEOUT = 5.0
_POST_TIMEOUT = 60.0  # then what can be repeated is, and waits for the first one if that is under way
_TYPE = "text/event-stream"
_TRY_LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_QUEUED = 16
_ANSWERS = ("ack", "reply", "history", "presence", "error")


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What a server says of where it has event streams.

    Attributes:
        has_events: False if it says that it has none.
        base: such as ``https://host:port``; None for the room's own host and port.
    """

    has_events: bool = True
    base: str | None = None


async def ask_whereabouts(address: Address, settings: Settings) -> Whereabouts:
    """Ask a server where it has event streams; one that cannot be asked may have them anywhere."""
    import httpx

    try:
        async with _client(settings, {}) as client:
            response = await client.get(address.beside(WHEREABOUTS), timeout=_WHEREABOUTS_TIMEOUT)
        told = response.json() if response.status_code == HTTPStatus.OK else None
    except (httpx.HTTPError, ValueError):
        return Whereabouts()
    if not isinstance(told, dict) or "url" not in told:
        return Whereabouts()
    base = told.get("sse")
    if "sse" not in told or not (base is None or isinstance(base, str)):
        return Whereabouts(has_events=False)
    # A server behind a proxy that speaks TLS for it may not know that it does.
    return Whereabouts(base=None if base is not None and address.secure and base.startswith("http:") else base)


async def open_events(
    address: Address, where: Whereabouts, settings: Settings, progress: Progress, token: str
) -> "EventsLine":
    """Open a stream of events.

    Args:
        address: where the room is.
        where: event streams are.
        settings: of the room.
        progress: of the room; its session is sent with each message, too.
        token: for the header Authorization; empty for none.

    Raises:
        LineEndedError: it did not come about.
    """
    import httpx

    client = _client(settings, _bearer(token))
    try:
        request = client.build_request(
            "GET",
            address.events(where.base, progress.at),
            headers={"Accept": _TYPE, "Cache-Control": "no-store", **_session(progress)},
        )
        response = await client.send(request, stream=True)
        await _check(response, address)
    except httpx.HTTPError as error:
        await client.aclose()
        raise LineEndedError(
            f"{address.host} cannot be reached by HTTP ({str(error) or type(error).__name__})"
        ) from error
    except BaseException:
        await client.aclose()
        raise
    return EventsLine(client, response, address.posts(where.base), settings, progress)


async def _check(response: "httpx.Response", address: Address) -> None:
    if response.status_code != HTTPStatus.OK:
        raise status_failure(response.status_code, response.headers, await response.aread(), address)
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() != _TYPE:
        raise LineEndedError(f"{address.host} answers by no server-sent events", hopeless=True)


def _client(settings: Settings, headers: Mapping[str, str]) -> "httpx.AsyncClient":
    import httpx

    return httpx.AsyncClient(
        headers={**settings.headers, **headers},
        verify=settings.ssl or _system_trust(),
        timeout=None,  # the room's own  # noqa: S113
        follow_redirects=False,  # the session goes nowhere else
    )


@cache
def _system_trust() -> ssl.SSLContext:
    """Return what WebSockets trust by default; made once, since that takes tens of milliseconds."""
    return ssl.create_default_context()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _is_renewal(document: Mapping[str, Any]) -> bool:
    """Return whether a message shows another token: only its answer says what is wrong with that one."""
    request = document.get("signalpost")
    return isinstance(request, dict) and "token" in request


def _session(progress: Progress) -> dict[str, str]:
    return {"Signalpost-Session": progress.session} if progress.session else {}


class EventsLine:
    """A stream of events as a `Line`."""

    plain = False
    answers = False

    def __init__(
        self, client: "httpx.AsyncClient", response: "httpx.Response", url: str, settings: Settings, progress: Progress
    ) -> None:
        self._client = client
        self._response = response
        self._url = url
        self._settings = settings
        self._progress = progress
        self.lock = asyncio.Lock()
        self._come: asyncio.Queue[str | bytes] = asyncio.Queue(_QUEUED)
        self._end: LineEndedError | None = None
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def receive(self) -> str | bytes:
        """See `Line`."""
        while True:
            if self._end is not None and self._come.empty():
                raise self._end
            if come := await self._come.get():
                return come
            if self._end is None:
                return ""

    async def _read(self) -> None:
        end = LineEndedError("the connection broke", code=CLOSED_WITHOUT_A_WORD)
        reader = EventReader(self._settings.max_size)
        try:
            async for part in _parts(self._response):
                for event in reader.feed(part):
                    if (closed := _close_of(event)) is not None:
                        self._ended(closed)
                        return
                    await self._come.put(_frame_of(event))
        except EventTooLargeError:
            end = LineEndedError(f"the server sent an event of more than {self._settings.max_size} bytes", code=1009)
        self._ended(end)

    def _ended(self, end: LineEndedError) -> None:
        """Called when nothing more will come; what has come can still be received."""
        if self._end is None:
            self._end = end
            if not self._come.full():
                self._come.put_nowait("")  # wakes who waits

    async def send(self, data: str | bytes) -> None:
        """See `Line`. What can be repeated is repeated until the server has it."""
        document = _object_of(data)
        waits = Waits(self._settings.random)
        while True:
            try:
                response = await self._post(data, is_renewal=_is_renewal(document))
            except LineEndedError:
                if not ("once" in document or "signalpost" in document):
                    raise
            else:
                if response.status_code not in _TRY_LATER or _is_renewal(document):
                    break
                if (seconds := retry_after(response.headers.get("Retry-After"))) is not None:
                    waits.ask_for(seconds)
            if self._end is not None:
                raise self._end
            await sleep(self._settings.clock, waits.following())
        for frame in _frames_of(response.status_code, response.content, document.get("ref")):
            await self._come.put(frame)

    async def _post(self, data: str | bytes, *, is_renewal: bool) -> "httpx.Response":
        import httpx

        kind = "application/octet-stream" if isinstance(data, bytes) else "application/json"
        headers = {"Content-Type": kind, "Accept": "application/json", **_session(self._progress)}
        try:
            response = await self._client.post(self._url, content=data, headers=headers, timeout=_POST_TIMEOUT)
        except (httpx.HTTPError, RuntimeError) as error:  # a RuntimeError: the client is closed
            raise LineEndedError(f"the server cannot be reached ({str(error) or type(error).__name__})") from error
        if response.status_code == HTTPStatus.UNAUTHORIZED and not is_renewal:
            refused = LineEndedError("the server refuses the token", status=HTTPStatus.UNAUTHORIZED)
            self._reading.cancel()
            self._ended(refused)
            raise refused
        return response

    def use_token(self, token: str) -> None:
        """See `Line`."""
        self._client.headers.update(_bearer(token))

    async def ask_for_sign(self) -> bool:
        """See `Line`: the server gives signs of life by itself."""
        return False

    async def close(self) -> None:
        """See `Line`."""
        self._reading.cancel()
        with suppress(Exception):  # whatever a connection that is closed has to say
            await self._response.aclose()
            await self._client.aclose()

    def abort(self) -> None:
        """See `Line`."""
        self._reading.cancel()
        self._ended(LineEndedError("the connection broke", code=CLOSED_WITHOUT_A_WORD))


async def _parts(response: "httpx.Response") -> AsyncIterator[bytes]:
    """Yield what comes, until the connection ends in whatever way."""
    import httpx

    with suppress(httpx.HTTPError, httpx.StreamError):
        async for part in response.aiter_bytes():
            yield part


def _frame_of(event: Event) -> str | bytes:
    if event.name == "binary":
        with suppress(ValueError):
            return base64.b64decode(event.data, validate=True)
    return event.data


def _close_of(event: Event) -> LineEndedError | None:
    """Return the end of a stream that the server has closed; None for every other event."""
    if event.name not in ("", "close") or not event.data.startswith('{"close"'):
        return None
    close = _object_of(event.data).get("close")
    if not isinstance(close, dict):
        return None
    code, reason = close.get("code"), close.get("reason")
    code, reason = code if isinstance(code, int) else CLOSED_WITHOUT_A_WORD, reason if isinstance(reason, str) else ""
    return LineEndedError(
        f"the server closed the connection ({code}{f': {reason}' if reason else ''})", code=code, reason=reason
    )


def _object_of(data: str | bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _frames_of(status: int, body: bytes, ref: Any) -> list[str]:
    """Return the answer to a POST as frames, as they would come by WebSocket."""
    answer = _object_of(body)
    signals = answer.get("signals")
    frames: list[dict[str, Any]] = [{"signal": each} for each in signals] if isinstance(signals, list) else []
    kind = next((kind for kind in _ANSWERS if isinstance(answer.get(kind), dict)), None)
    if kind is not None:
        frames.append({kind: {**answer[kind], **({} if ref is None else {"ref": ref})}})
    elif status >= HTTPStatus.BAD_REQUEST:
        detail = f"the server answered HTTP {status}"
        frames.append({"error": {"code": "", "detail": detail, **({} if ref is None else {"ref": ref})}})
    elif ref is not None:
        frames.append({"ack": {"ref": ref}})
    return [orjson.dumps(frame).decode() for frame in frames]

"""The checked contents of routes.yaml: frozen dataclasses, without YAML.

Every part has `keys`, its path in the file (``("signals", 0)``), so that later problems (an unknown handler, a port in
use) can be reported with file, line and column through `ServerConfig.source`. Two parts are equal if their contents
are, at any place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from signalpost.config.apimodel import ApiConfig
from signalpost.config.authmodel import AuthConfig, PermissionConfig, Permissions
from signalpost.config.backplanemodel import BackplaneConfig, RunsOn
from signalpost.config.monitormodel import MonitorConfig
from signalpost.cron import Cron
from signalpost.paths import PathPattern
from signalpost.places import Keys, Placed, SourceMap
from signalpost.units import MEBIBYTE, Quota
from signalpost.websocket.head import DEFAULT_PORTS, LARGEST_HEAD

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that only read (RFC 9110 section 9.2.1), except TRACE, which no route answers."""


class Scheme(StrEnum):
    """The protocol of an endpoint."""

    HTTP = "http"
    HTTPS = "https"
    WS = "ws"
    WSS = "wss"

    @property
    def secure(self) -> bool:
        """Whether it runs over TLS."""
        return self in (Scheme.HTTPS, Scheme.WSS)

    @property
    def websocket(self) -> bool:
        """Whether it is for WebSockets instead of plain HTTP requests."""
        return self in (Scheme.WS, Scheme.WSS)

    @property
    def default_port(self) -> int:
        """The port that may be omitted in its URLs."""
        return DEFAULT_PORTS["https" if self.secure else "http"]


class Fallback(StrEnum):
    """How signals are served by an http or https endpoint."""

    SSE = "sse"


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The certificate of an endpoint: a pem or pfx file, or one generated at start.

    Attributes:
        digest: of the files' contents, so that a renewed certificate differs.
    """

    certificate: Path | None = None
    key: Path | None = None
    password: str | None = field(default=None, repr=False)
    self_signed: bool = False
    digest: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CompressionConfig:
    """permessage-deflate (RFC 7692) for clients that offer it.

    Attributes:
        level: of zlib, 1 (fast) to 9 (small).
        threshold: messages of fewer bytes are not compressed.
    """

    level: int = 6
    threshold: int = 1024


UNIX = "unix:"
"""Prefix of the path of a Unix socket, in place of an address."""


@dataclass(frozen=True, slots=True)
class KeepaliveConfig:
    """How silent clients are distinguished from dead ones.

    Attributes:
        every: seconds without a byte from a client after which it is pinged (RFC 6455 section 5.5.2).
        patience: seconds that a pinged client may take to send any byte, before it counts as gone.
    """

    every: float = 25.0
    patience: float = 10.0


EVENT_STREAM_KEEPALIVE = KeepaliveConfig(every=15.0)
"""Of an endpoint with event streams: proxies and clients are told every 15 s that they are alive."""


IpNetwork = IPv4Network | IPv6Network


class ForwardingHeaders(StrEnum):
    """The headers in which proxies say for whom they forward a request; by one of them the others are not read."""

    X_FORWARDED = "x-forwarded"
    FORWARDED = "forwarded"


@dataclass(frozen=True, slots=True)
class ProxiesConfig:
    """The proxies before an endpoint, which are believed.

    Attributes:
        networks: of their addresses.
        unix: whether whoever connects to the endpoint's Unix socket is one.
        headers: that they write; None is X-Forwarded-* if a request has any of these, else Forwarded.
    """

    networks: tuple[IpNetwork, ...] = ()
    unix: bool = False
    headers: ForwardingHeaders | None = None


@dataclass(frozen=True, slots=True, repr=False)
class EndpointConfig(Placed):
    """An address and port with a protocol.

    Attributes:
        address: an IPv4 or IPv6 address or a host name; ``*`` is all IPv4 addresses, and ``unix:`` precedes the
            absolute path of a Unix socket.
        port: 0 to 65535; 0 lets the system choose (tests). A Unix socket has 0.
        origins: additional origins, as scheme://host[:port], whose pages may open WebSockets, or over http(s) change
            things and read responses.
        compression: of WebSockets; None is no compression.
        hosts: additional host names of requests, in lower case; ``*.example.com`` is every name below that one.
        headers: of responses, by name in lower case; an empty one is not sent.
        keepalive: of WebSockets, and of event streams.
        fallbacks: how signals are served here besides; of http and https.
        mode: permissions of a Unix socket; None leaves them to the process's umask.
        proxies: that are believed about their clients; None believes nobody, and reads nothing.
        redirect: the name of the endpoint that all requests are sent on to; None if they are answered here.
    """

    keys: Keys = field(compare=False)
    name: str
    address: str
    port: int
    scheme: Scheme
    tls: TlsConfig | None = None
    origins: tuple[str, ...] = ()
    compression: CompressionConfig | None = None
    hosts: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    keepalive: KeepaliveConfig = KeepaliveConfig()
    mode: int | None = None
    fallbacks: frozenset[Fallback] = frozenset()
    proxies: ProxiesConfig | None = None
    redirect: str | None = None

    @property
    def serves_routes(self) -> bool:
        """Whether it serves routes."""
        return not self.scheme.websocket and self.redirect is None

    @property
    def serves_sockets(self) -> bool:
        """Whether it serves WebSockets."""
        return self.scheme.websocket and self.redirect is None

    @property
    def signals(self) -> bool:
        """Whether it serves signals: over WebSockets, or by a fallback."""
        return self.redirect is None and (self.scheme.websocket or bool(self.fallbacks))

    @property
    def socket(self) -> str:
        """The path of its Unix socket; empty if it has an address and a port."""
        return self.address.removeprefix(UNIX) if self.address.startswith(UNIX) else ""

    @property
    def host(self) -> str:
        """The Host that a client might send."""
        return "localhost" if self.socket else self.address

    @property
    def url(self) -> str:
        """Its URL without a path: ``http://127.0.0.1:8090``; of a socket ``http://unix:/a/b.sock``."""
        if self.socket:
            return f"{self.scheme.value}://{self.address}"
        return self.url_at("localhost" if self.address == "*" else self.address)

    def url_at(self, host: str) -> str:
        """Return its URL at a host, without the path: ``http://127.0.0.1:8090``."""
        shown = f"[{host}]" if ":" in host else host
        port = "" if self.port == self.scheme.default_port else f":{self.port}"
        return f"{self.scheme.value}://{shown}{port}"


@dataclass(frozen=True, slots=True, repr=False)
class StepConfig(Placed):
    """One step of a list of actions (``do``): its name, and its options as in the file.

    Attributes:
        keys: of the step; not compared, so that a list that was only moved is equal.
        name: ``broadcast``, ``if``, ``for`` and so on, or a plugin's action.
        options: the value after the name: plain data, templates not yet compiled.
        then: of an ``if``.
        otherwise: of an ``if``: its ``else``.
        body: of a ``for``: its ``do``.
    """

    keys: Keys = field(compare=False)
    name: str
    options: Any
    then: "tuple[StepConfig, ...]" = ()
    otherwise: "tuple[StepConfig, ...]" = ()
    body: "tuple[StepConfig, ...]" = ()


@dataclass(frozen=True, slots=True, repr=False)
class SchemaConfig(Placed):
    """A JSON Schema, inline or read from a file; already found valid by jsonschema.

    Attributes:
        keys: of the key that holds or names it.
        document: the schema: a mapping or a boolean.
    """

    keys: Keys = field(compare=False)
    document: Mapping[str, Any] | bool


class RatePer(StrEnum):
    """Whose requests a rate counts together."""

    ADDRESS = "address"
    USER = "user"
    ROUTE = "route"


@dataclass(frozen=True, slots=True)
class RouteRate:
    """How often a route is answered.

    Attributes:
        per: whose requests are counted together; those of guests by address, where it says user.
    """

    quota: Quota
    per: RatePer = RatePer.ADDRESS


class SenderRule(StrEnum):
    """Whether the requests of a route must name a connected client."""

    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, repr=False)
class RouteConfig(Placed):
    """An HTTP route. Exactly one of file, static, view, client, handler and do is given.

    Attributes:
        methods: upper case; file, static, view and client imply GET (and Sanic's HEAD), handler and do POST
            unless the file says otherwise.
        endpoints: names of the http(s) endpoints that serve it; empty means all.
        headers: of its responses below 400, by name in lower case; they take precedence over those of the endpoint.
        client: it answers with the client for browsers.
        may: who may request it; None is the default.
        rate: how often it is answered; None is no limit.
        sender: whether requests must name a connected client.
    """

    keys: Keys = field(compare=False)
    path: PathPattern
    methods: tuple[str, ...]
    file: Path | None = None
    static: Path | None = None
    view: Path | None = None
    handler: str | None = None
    do: tuple[StepConfig, ...] = ()
    schema: SchemaConfig | None = None
    endpoints: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    query: SchemaConfig | None = None
    params: SchemaConfig | None = None
    client: bool = False
    may: PermissionConfig | None = None
    rate: RouteRate | None = None
    sender: SenderRule = SenderRule.OPTIONAL


class Rebroadcast(StrEnum):
    """Who receives a message without a target."""

    EVERYONE = "everyone"
    OTHERS = "others"
    PATH = "path"
    GROUP = "group"
    SENDER = "sender"
    NONE = "none"


class Breadth(StrEnum):
    """How many clients a broadcast may reach, from the broadest to the narrowest."""

    EVERYONE = "everyone"
    PATH = "path"
    GROUP = "group"
    CLIENT = "client"


class RequestedTarget(StrEnum):
    """The targets that a client may request in its message; the values are the keys of the message."""

    PATH = "path"
    CLIENT_ID = "clientId"
    GROUP = "group"
    DIRECT = "direct"
    USER = "user"


USUAL_TARGETS = frozenset(RequestedTarget) - {RequestedTarget.USER}
"""What a client may request of a signal that says nothing else: without users, ``user`` is a key of the app's own."""


class MessageFormat(StrEnum):
    """How frames of a signal are read: as JSON messages, or relayed as they are."""

    JSON = "json"
    RAW = "raw"


class SlowPolicy(StrEnum):
    """What happens when more waits for a client than its outbox holds."""

    DISCONNECT = "disconnect"
    DROP_OLDEST = "drop_oldest"
    LATEST = "latest"
    CATCH_UP = "catch_up"


@dataclass(frozen=True, slots=True)
class LatestBy:
    """`SlowPolicy.LATEST` for paths with values of several things: the newest value of each is kept.

    Attributes:
        key: the path in nested mappings to the part of a value that identifies its thing.
    """

    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlowConfig:
    """The treatment of clients that read more slowly than they are sent to.

    Attributes:
        buffer: bytes that may wait for each of them; None is `LimitsConfig.outbox`.
    """

    policy: SlowPolicy | LatestBy = SlowPolicy.DISCONNECT
    buffer: int | None = None


MOST_REPLAYED = 1_000
"""Values of a path that a client reads at most when it comes."""

KNOWN_FOR = 300.0
"""Seconds for which a message is known again by its ``once``, unless its signal says otherwise."""


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """How many of the values that are sent to a path as a whole are kept.

    Attributes:
        keep: how many of the newest.
        seconds: none is older.
        replay: how many of the newest a client reads that brings no position.
    """

    keep: int
    seconds: float = 600.0
    replay: int = 0


@dataclass(frozen=True, slots=True)
class PresenceConfig:
    """How clients are told who is on their path.

    Attributes:
        info: what others see of a user, with templates; None is nothing.
        grace: seconds in which a user who is gone may come back without having been away.
        every: seconds between two differences, at least.
        most: with more users only their number is told.
    """

    info: Any = field(default=None, repr=False)
    grace: float = 5.0
    every: float = 1.0
    most: int = 1_000


@dataclass(frozen=True, slots=True, repr=False)
class SignalConfig(Placed):
    """A WebSocket path, and what happens to messages that arrive on it.

    Attributes:
        rebroadcast: who receives a message without a target; ignored if a handler is named.
        targets: that a client may request.
        from_elsewhere: whether messages of clients on other paths arrive here at all; None is yes, unless `rebroadcast`
            is none.
        parallel: how many messages of one client are handled at once; 1 preserves their order.
        protocols: subprotocols that it supports besides `signalpost.v1`, in order of preference.
        timeout: seconds after which the handling of a message is cancelled; None is never.
        do: actions for a message instead of re-broadcasting it; excludes a handler.
        connected: actions when a client has connected.
        disconnected: actions when a client has disconnected.
        endpoints: names of the ws(s) endpoints that serve it; empty means all.
        slow: treatment of slow clients that are connected on it, whatever signal the frames came from.
        history: what is kept of the values sent to it; None keeps nothing.
        presence: how its clients are told who is there; None tells nothing.
        once: seconds for which a message is known again by its ``once``.
        sends: what values that its clients read are, for `signalpost types` and the like; None says nothing.
        may: who may do what here.
        broadest: how broad broadcasts may be that reach its clients; None is `ServerConfig.broadest`.
    """

    keys: Keys = field(compare=False)
    path: PathPattern
    handler: str | None = None
    schema: SchemaConfig | None = None
    rebroadcast: Rebroadcast = Rebroadcast.EVERYONE
    targets: frozenset[RequestedTarget] = USUAL_TARGETS
    format: MessageFormat = MessageFormat.JSON
    endpoints: tuple[str, ...] = ()
    slow: SlowConfig = SlowConfig()
    parallel: int = 1
    timeout: float | None = None
    do: tuple[StepConfig, ...] = ()
    connected: tuple[StepConfig, ...] = ()
    disconnected: tuple[StepConfig, ...] = ()
    from_elsewhere: bool | None = None
    protocols: tuple[str, ...] = ()
    history: HistoryConfig | None = None
    presence: PresenceConfig | None = None
    once: float = KNOWN_FOR
    sends: SchemaConfig | None = None
    may: Permissions = field(default_factory=dict)
    broadest: Breadth | None = None

    @property
    def open_to_others(self) -> bool:
        """Whether messages of clients on other paths arrive here."""
        if self.from_elsewhere is None:
            return self.rebroadcast is not Rebroadcast.NONE
        return self.from_elsewhere


MAX_RUNS = 10
"""Runs of a schedule that may be under way at once, unless it sets another maximum."""


@dataclass(frozen=True, slots=True)
class TimerTiming:
    """When a job by interval runs, and with what.

    Attributes:
        every: seconds between runs, above 0; fractions are allowed.
        limit: maximum number of runs; 0 is no limit.
        skip: how many of the first runs to skip.
        on_start: run once at once (counts towards the limit).
        arguments: for the handler as `TickEvent.arguments`, and for templates by that name.
        timeout: seconds after which a run is cancelled; None is never.
        on: which nodes run it; None is one of those that a backplane joins.
    """

    every: float
    limit: int = 0
    skip: int = 0
    on_start: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    on: RunsOn | None = None


@dataclass(frozen=True, slots=True)
class ScheduleTiming:
    """When a job by cron expressions runs, and with what; for other fields see `TimerTiming`.

    Attributes:
        crons: one or several expressions, checked; each of them starts runs.
        timezone: the zone of the expressions; None is the system's.
        start: no run before this moment; aware.
        end: no run after this moment; aware.
        max_runs: how many runs may be under way at once.
    """

    crons: tuple[str, ...]
    timezone: ZoneInfo | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 0
    on_start: bool = False
    timeout: float | None = None
    max_runs: int = MAX_RUNS
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    on: RunsOn | None = None

    @property
    def expressions(self) -> tuple[Cron, ...]:
        """The cron expressions, parsed."""
        return tuple(map(Cron.parse, self.crons))


Timing = TimerTiming | ScheduleTiming


@dataclass(frozen=True, slots=True, repr=False)
class JobConfig(Placed):
    """A timer or a schedule. Exactly one of handler and do is given."""

    keys: Keys = field(compare=False)
    name: str
    timing: Timing
    handler: str | None = None
    do: tuple[StepConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedSource:
    """The WebSocket server that a feed comes from, and how its messages are read.

    Attributes:
        url: begins with ``ws://`` or ``wss://``.
        headers: of the handshake, by name in lower case.
        subprotocols: to offer, in order of preference.
        send: sent in this order as soon as it is connected: a text as it is, anything else as JSON.
        timeout: seconds after which the handling of a message is cancelled; None is never.
        max_message: bytes of the largest message; None is `LimitsConfig.message`.
        ca: the certificates that are trusted instead of the system's; absolute.
        digest: of their content, so that renewed ones differ.
    """

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    subprotocols: tuple[str, ...] = ()
    send: tuple[Any, ...] = field(default=(), repr=False)
    timeout: float | None = None
    max_message: int | None = None
    ca: Path | None = None
    digest: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class FeedConfig(Placed):
    """A feed: messages of another WebSocket server. Exactly one of handler and do is given."""

    keys: Keys = field(compare=False)
    name: str
    source: FeedSource
    handler: str | None = None
    do: tuple[StepConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginsConfig:
    """Which plugins are loaded, and their settings.

    Attributes:
        folder: of drop-in plugins; absolute. It need not exist if routes.yaml does not name it.
        enable: the only plugins to load, by their names or those of their distributions; None is all.
        disable: plugins not to load, by the same names.
        settings: by plugin name.
        installed: the only plugins of installed packages to load, by the same names; None is all.
    """

    folder: Path
    enable: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    installed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RateConfig:
    """The rate at which one client is read from; 0 is no limit.

    Attributes:
        frames: per second, of every kind.
        bytes: per second, of the inflated frames.
    """

    frames: float = 1_000.0
    bytes: float = 8.0 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class AddressLimits:
    """What the clients of one address may have together; None is no limit. IPv6 is counted by networks of 64 bits.

    Attributes:
        connections: open WebSockets and event streams.
        handshakes: of WebSockets and event streams.
        requests: of plain HTTP, whatever they ask for.
    """

    connections: int | None = None
    handshakes: Quota | None = None
    requests: Quota | None = None


@dataclass(frozen=True, slots=True)
class UserLimits:
    """What all clients of one user may have together; None is no limit. Guests have none.

    Attributes:
        connections: open WebSockets and event streams.
        rate: messages a second.
    """

    connections: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """The limits of the server.

    Attributes:
        message: largest message of a client, in bytes.
        connections: open WebSockets at most.
        handshake: seconds a client may take to request its WebSocket, and then what waits until it is admitted.
        head: bytes that the head of a request may have.
        outbox: bytes that may wait for a client that does not read, before it is dropped.
        outboxes: bytes that may wait for all clients together, before the slowest are dropped; None is a quarter of
            the memory, or 1 GiB if that is less.
        inbound: bytes of unfinished messages and request bodies of all clients together; None is a quarter of the
            memory, or 512 MiB if that is less.
        handlers: handlers of signals that may run at once, over all clients.
        rate: at which one client is read from.
        drain: seconds for clients, handlers, jobs and requests to finish when the server stops; 0 is at once.
        startup: seconds that the `startup` of each plugin may take.
        response: seconds in which the response to a request must begin.
        per_address: of the clients of one address together.
        per_user: of the clients of one user together.
    """

    message: int = MEBIBYTE
    connections: int = 50_000
    handshake: float = 10.0
    head: int = LARGEST_HEAD
    outbox: int = MEBIBYTE
    outboxes: int | None = None
    inbound: int | None = None
    handlers: int = 1_000
    rate: RateConfig = RateConfig()
    drain: float = 30.0
    startup: float = 30.0
    response: float = 300.0
    per_address: AddressLimits = AddressLimits()
    per_user: UserLimits = UserLimits()


@dataclass(frozen=True, slots=True)
class StateConfig:
    """The state that handlers and actions share.

    Attributes:
        file: preserves it across restarts; absolute. None discards it.
        limit: about how many bytes it may take as JSON.
        forget: keys that the file does not store; ``rooms.names`` is one inside another.
        share: how many of these bytes the messages of one client may store; 0 is no limit, None a tenth.
    """

    keys: Keys = field(default=(), compare=False)
    file: Path | None = None
    limit: int = 16 * MEBIBYTE
    forget: frozenset[str] = frozenset()
    share: int | None = None

    @property
    def share_of_limit(self) -> int:
        """The value of `share` in bytes."""
        return self.limit // 10 if self.share is None else self.share


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """The memory for the histories of all paths together.

    Attributes:
        file: preserves them across restarts; absolute. None discards them.
        limit: bytes that they may take.
    """

    keys: Keys = field(default=(), compare=False)
    file: Path | None = None
    limit: int = 64 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class PrivatePaths:
    """Paths that no route may ever serve, existing or not; absolute.

    Attributes:
        files: routes.yaml and what it includes, the file of secrets, keys and certificates, the state, the history and
            their journals.
        folders: with all their contents: of plugins, of included files, and the one where a running server writes
            notes.
        home: the folder of routes.yaml.
    """

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    home: Path | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ServerConfig:
    """All of routes.yaml.

    Attributes:
        file: as named by the user.
        folder: the absolute folder of the file: relative paths start there.
        undeclared_refused: whether WebSocket paths that no signal declares answer 404.
        unbound: handlers whose bindings are removed (``handlers: {tick: off}``).
        bound: handlers that keep the paths from their installed plugins, in spite of
            ``undeclared: refuse`` (``handlers: {departures: on}``).
        source: of the places, for problems found later.
        files: routes.yaml, what it includes (files, and folders as such), the file of secrets, and every file that a
            key names, existing or not; absolute. If one changes, this may change, too.
        notes: what is valid but may not be intended.
        private: paths that no route may serve.
        constants: for templates and views, by name.
        auth: how clients say who they are; None is that they do not.
        broadest: how broad broadcasts may be, where a signal does not say otherwise.
        backplane: what joins this node with others; None is that there are no others.
        api: where other programs ask the server; None is nowhere.
        monitor: where the server is watched; None is nowhere, and nothing is counted.
    """

    file: str
    folder: Path
    endpoints: tuple[EndpointConfig, ...]
    plugins: PluginsConfig
    routes: tuple[RouteConfig, ...]
    signals: tuple[SignalConfig, ...]
    timers: tuple[JobConfig, ...]
    schedules: tuple[JobConfig, ...]
    undeclared_refused: bool
    unbound: frozenset[str]
    limits: LimitsConfig
    state: StateConfig
    source: SourceMap = field(compare=False)
    files: tuple[Path, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    private: PrivatePaths = field(default=PrivatePaths(), compare=False)
    bound: frozenset[str] = frozenset()
    constants: Mapping[str, Any] = field(default_factory=dict)
    history: MemoryConfig = MemoryConfig()
    feeds: tuple[FeedConfig, ...] = ()
    auth: AuthConfig | None = None
    broadest: Breadth = Breadth.EVERYONE
    backplane: BackplaneConfig | None = None
    api: ApiConfig | None = None
    monitor: MonitorConfig | None = None

    @property
    def counts(self) -> bool:
        """Whether metrics are read, so that what happens is counted."""
        return self.monitor is not None and self.monitor.metrics is not None

    @property
    def jobs(self) -> tuple[JobConfig, ...]:
        """All timers, then all schedules."""
        return (*self.timers, *self.schedules)

    @property
    def parts(self) -> "tuple[RouteConfig | SignalConfig | JobConfig | FeedConfig, ...]":
        """All parts that may name a handler or have a list of actions."""
        return (*self.routes, *self.signals, *self.jobs, *self.feeds)

    def __repr__(self) -> str:
        return f"ServerConfig({self.file!r})"

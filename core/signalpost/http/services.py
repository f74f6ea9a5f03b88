"""What HTTP routes need from the server around them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signalpost.config.model import EndpointConfig
from signalpost.config.viewtemplates import NO_ADDITIONS, Additions
from signalpost.events import Broadcast, Shared
from signalpost.http.packed import Packed
from signalpost.http.private import NOTHING_PRIVATE, Private
from signalpost.http.restraint import Restraint
from signalpost.signals.work import Work
from signalpost.units import MEBIBYTE


@dataclass(frozen=True, slots=True)
class RouteServices:
    """What the routes of one listening port share.

    Attributes:
        shared: the lock and the state of all handlers of the server.
        broadcast: sends a value to clients; without a target, to everyone.
        endpoint: the http or https endpoint of the port, for `RouteEvent.endpoint`.
        folder: the app's folder, absolute: templates are named from it, and the log names files from it.
        settings: of plugins, by plugin name; views see them.
        constants: of routes.yaml; likewise.
        additions: what plugins add to views.
        message_limit: largest request body, in bytes.
        patience: seconds a client may pause in the middle of sending a request.
        answer_time: seconds in which an answer must begin.
        work: of the plan whose routes they are.
        out_of_descriptors: notes that a file could not be opened for want of a descriptor, for the log.
        private: tells which files are never sent.
        restraint: has requests wait that send to clients; None where none does.
        endpoints: gives all that listen, with the ports that they really have; None where none is for WebSockets.
        packed: keeps compressed files.

    """

    shared: Shared
    broadcast: Broadcast
    endpoint: EndpointConfig
    folder: Path
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    additions: Additions = NO_ADDITIONS
    message_limit: int = MEBIBYTE
    patience: float = 10.0
    answer_time: float = 300.0
    work: Work = field(default_factory=Work)
    out_of_descriptors: Callable[[], None] = lambda: None
    private: Private = NOTHING_PRIVATE
    restraint: Restraint | None = None
    endpoints: Callable[[], Sequence[EndpointConfig]] | None = None
    packed: Packed = field(default_factory=Packed)

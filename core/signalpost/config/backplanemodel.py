"""What routes.yaml says of other nodes of the same app: the key ``backplane``, and the key ``on`` of jobs."""

from dataclasses import dataclass, field
from enum import StrEnum

from signalpost.places import Keys


class RunsOn(StrEnum):
    """On which nodes a job runs."""

    ONE = "one"
    EVERY = "every"


class Lost(StrEnum):
    """What becomes of live values while the backplane is away for longer than `BackplaneConfig.patience`."""

    ALONE = "alone"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class BackplaneConfig:
    """What joins several nodes.

    Attributes:
        url: ``redis://``, ``rediss://`` or ``unix://``, as `signalpost.config.backplaneurl.parse_url` has checked it.
            It may hold a password: `signalpost.config.backplaneurl.shown_url` is for people.
        name: of the app; those of different names do not hear each other.
        patience: seconds that what is published waits for a lost connection; 0 is no wait.
        lost: what becomes of live values after that.
    """

    keys: Keys = field(compare=False)
    url: str = field(repr=False)
    name: str = "signalpost"
    patience: float = 5.0
    lost: Lost = Lost.ALONE

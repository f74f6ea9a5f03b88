"""What routes.yaml says of the API for other programs: the key ``api``."""

from dataclasses import dataclass, field

from signalpost.places import Keys
from signalpost.units import Quota

API_PATH = "/api"
API_RATE = Quota(100.0, 1.0)


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """Where other programs ask a server, each with its key.

    Attributes:
        endpoints: that serve it, by name.
        path: begins the paths of all its requests.
        rate: of each key; None is no limit.
    """

    keys: Keys = field(compare=False)
    endpoints: tuple[str, ...]
    path: str = API_PATH
    rate: Quota | None = API_RATE

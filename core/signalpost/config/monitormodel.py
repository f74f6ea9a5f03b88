"""What routes.yaml says of being watched: the key ``monitor``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from signalpost.places import Keys


@dataclass(frozen=True, slots=True)
class PageConfig:
    """Where one page of the server itself is.

    Attributes:
        path: of the page, without parameters.
        endpoint: name of the http or https endpoint that serves it.
    """

    keys: Keys = field(compare=False)
    path: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """The pages by which the server is watched.

    Attributes:
        metrics: where the metrics are read; None if nowhere.
        health: where it is asked whether the server turns and, at `READY` below it, whether it should have clients.
    """

    keys: Keys = field(compare=False)
    metrics: PageConfig | None = None
    health: PageConfig | None = None

    def pages_at(self, endpoint: str) -> Mapping[str, PageConfig]:
        """Return the pages that an endpoint serves, by all their paths."""
        paths = {page.path: page for page in self.pages if page.endpoint == endpoint}
        if self.health is not None and self.health.endpoint == endpoint:
            paths[ready_path(self.health)] = self.health
        return paths

    @property
    def pages(self) -> tuple[PageConfig, ...]:
        """Those that there are."""
        return tuple(page for page in (self.metrics, self.health) if page is not None)


READY = "/ready"
"""Behind the path of the health: whether the server should have clients."""


def ready_path(page: PageConfig) -> str:
    """Return the path behind that of the health where readiness is asked for."""
    return page.path.rstrip("/") + READY

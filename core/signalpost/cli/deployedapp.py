"""What the files of a deployment say of an app, as its routes.yaml has it."""

import re
from functools import cached_property
from pathlib import Path

from signalpost import __version__
from signalpost.config.model import EndpointConfig, ServerConfig
from signalpost.config.monitormodel import READY
from signalpost.http.whereabouts import PATH as WHEREABOUTS
from signalpost.plan import Plan
from signalpost.yaml.includes import SECRETS_FILE, SUFFIXES

_EXTRA_DESCRIPTORS = 1_024  # for files, plugins, Redis and what is being closed
_AFTER_DRAIN = 15  # seconds in which plugins are shut down and files are written
_LONGEST_NAME = 31  # of a user (useradd)
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")
_VARIABLE = re.compile(r"\$\{(\w+)")


class DeployedApp:
    """What deployments need to know of an app.

    Args:
        plan: of it.
        folder: of it, as the user named it.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.config: ServerConfig = plan.config
        self.folder = folder.resolve()

    @cached_property
    def name(self) -> str:
        """Its folder's name, as a user, a unit and an image may have it."""
        name = _NOT_IN_A_NAME.sub("-", self.folder.name.lower()).strip("-")
        return (name if name[:1].isalpha() else f"app-{name}".rstrip("-"))[:_LONGEST_NAME].rstrip("-")

    @property
    def descriptors(self) -> int:
        """How many descriptors it needs."""
        return self.config.limits.connections + _EXTRA_DESCRIPTORS

    @property
    def stop(self) -> int:
        """How many seconds its stop takes at most."""
        return int(self.config.limits.drain) + _AFTER_DRAIN

    @property
    def ports(self) -> list[list[EndpointConfig]]:
        """Its endpoints, those that share a port together; without those whose port the system chooses."""
        found: dict[tuple[str, int], list[EndpointConfig]] = {}
        for endpoint in self.config.endpoints:
            if endpoint.port or endpoint.socket:
                found.setdefault((endpoint.address, endpoint.port), []).append(endpoint)
        return list(found.values())

    @property
    def pages(self) -> EndpointConfig | None:
        """The endpoint that answers plain requests, if there is one."""
        served = (each for each in self.config.endpoints if not each.scheme.websocket and each.redirect is None)
        return next(served, None)

    @property
    def health(self) -> tuple[EndpointConfig | None, str]:
        """Where it says that it lives: by ``monitor.health``, else by a path that every http endpoint answers."""
        page = None if self.config.monitor is None else self.config.monitor.health
        if page is None:
            return self.pages, WHEREABOUTS
        return next((each for each in self.config.endpoints if each.name == page.endpoint), None), page.path

    def watched_at(self, endpoint: EndpointConfig) -> list[str]:
        """Return the paths by which it is watched at an endpoint; nobody outside is meant to read these."""
        pages = () if self.config.monitor is None else self.config.monitor.pages
        paths = [page.path for page in pages if page.endpoint == endpoint.name]
        health = None if self.config.monitor is None else self.config.monitor.health
        return [*paths, *([health.path + READY] if health is not None and health.path in paths else ())]

    @property
    def sockets(self) -> EndpointConfig | None:
        """The endpoint for WebSockets, if there is one."""
        return next((each for each in self.config.endpoints if each.scheme.websocket), None)

    @property
    def written(self) -> list[Path]:
        """The folders that it writes into, besides ``.signalpost``; absolute."""
        files = (self.config.state.file, self.config.history.file)
        return list(dict.fromkeys(file.parent for file in files if file is not None))

    @property
    def written_names(self) -> list[str]:
        """The same as they are named from its own folder."""
        home = self.folder
        return [str(each.relative_to(home) if each.is_relative_to(home) else each) for each in self.written]

    @property
    def private(self) -> list[Path]:
        """Its files that others may not read: secrets and keys of certificates; those that are in its folder."""
        keys = [endpoint.tls for endpoint in self.config.endpoints if endpoint.tls is not None]
        files = [self.folder / SECRETS_FILE, *(file for tls in keys for file in (tls.key, tls.certificate) if file)]
        return [file for file in dict.fromkeys(files) if file.is_file() and file.is_relative_to(self.folder)]

    @property
    def variables(self) -> list[str]:
        """The variables of the environment that its files read."""
        files = [file for file in self.config.files if file.suffix in SUFFIXES and file.is_file()]
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
        return sorted({name for text in texts for name in _VARIABLE.findall(text)})

    @property
    def requirements(self) -> str:
        """The packages that it needs, as pip reads them."""
        wanted = {"metrics": self.config.counts, "redis": self.config.backplane is not None}
        extras = ",".join(name for name, there in wanted.items() if there)
        installed = {f"{each.package}=={each.version}" for each in self.plan.registry.plugins if each.package}
        return "\n".join([f"signalpost{f'[{extras}]' if extras else ''}=={__version__}", *sorted(installed), ""])

    def below(self, path: Path, home: Path) -> Path:
        """Return where a file or folder is if the app's folder is at `home`."""
        return home / path.relative_to(self.folder) if path.is_relative_to(self.folder) else path

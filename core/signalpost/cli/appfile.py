"""What a routes.yaml says, for hints: read as it stands, without a check and without a plugin."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalpost.errors import ConfigError

_SOCKETS = ("ws", "wss")
_EVERYWHERE = ("*", "0.0.0.0", "::")  # noqa: S104 - what is listened on, which no client can ask for


@dataclass(frozen=True, slots=True)
class AppFile:
    """The mapping of a file; an empty one if it cannot be read, or is no mapping."""

    data: Mapping[str, Any]

    @classmethod
    def read(cls, file: str) -> "AppFile":
        """Read a file and what it includes. Its problems are not told: `signalpost check` does that."""
        from signalpost.yaml.disk import read_text
        from signalpost.yaml.nodes import plain
        from signalpost.yaml.surroundings import Surroundings
        from signalpost.yaml.tree import read_tree

        outside = Surroundings(Path(file).absolute().parent, file, os.environ)
        try:
            root = read_tree(read_text(Path(file), file).removeprefix("\ufeff"), file, outside).root
        except (ConfigError, OSError):
            return cls({})
        data = None if root is None else plain(root)
        return cls(data if isinstance(data, dict) else {})

    def items(self, section: str) -> Iterator[Mapping[str, Any]]:
        """Yield the mappings of a list such as ``signals``."""
        found = self.data.get(section)
        if isinstance(found, list):
            yield from (each for each in found if isinstance(each, dict))

    def people(self) -> Iterator[str]:
        """Yield the names of the imagined people."""
        auth = self.data.get("auth")
        known = auth.get("people") if isinstance(auth, dict) else None
        if isinstance(known, dict):
            yield from map(str, known)

    def socket_url(self, path: str) -> str | None:
        """Return the URL of a path at the first endpoint of WebSockets; None if there is none with a known port."""
        for endpoint in self.items("endpoints"):
            scheme, port, address = (endpoint.get(key) for key in ("protocol", "port", "address"))
            if scheme in _SOCKETS and isinstance(port, int) and port and isinstance(address, str):
                host = "localhost" if address in _EVERYWHERE else f"[{address}]" if ":" in address else address
                return f"{scheme}://{host}:{port}{path}"
        return None

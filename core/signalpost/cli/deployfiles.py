"""The files of a deployment: templates in ``starters/deploy``, filled in with what is known of the app.

``@{…}`` stands for a value there, since ``$`` is in use in these files.
"""

import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from signalpost.cli.deployedapp import DeployedApp
from signalpost.config.model import EndpointConfig
from signalpost.errors import OperatorError
from signalpost.yaml.includes import SECRETS_FILE

TEMPLATES = Path(__file__).resolve().parent.parent / "starters" / "deploy"

_IMAGE = Path("/app")
_HIDDEN = (
    *(".git", ".venv", ".signalpost", "**/__pycache__", SECRETS_FILE),
    *("Dockerfile", ".dockerignore", "compose.yaml", "deploy"),
)
REQUIREMENTS = Path("requirements.txt")
_PLACEHOLDER = "example.com"
_BODY_OVERHEAD = 65_536  # of a body over the message in it
_ALL_IPV4 = "*"
_VALUE = re.compile(r"@\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Files:
    """The files for one kind of deployment.

    Attributes:
        contents: by name, relative to the app's folder.
        notes: what the operator has to do besides.
    """

    contents: Mapping[Path, str]
    notes: Sequence[str] = ()


def _filled(template: str, **values: object) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return _VALUE.sub(lambda found: str(values[found[1]]), text)


def docker(app: DeployedApp) -> Files:
    """Return an image, how it is run, and the system calls that it may use.

    Raises:
        OperatorError: the app writes beside its routes.yaml, which is read-only in an image.
    """
    if app.folder in app.written:
        raise OperatorError(
            "the files of state and history are beside routes.yaml, and that folder is read-only in an image: give "
            "them a folder of their own, as in file: data/state.db"
        )
    written = app.written_names
    private = [str(file.relative_to(app.folder)) for file in app.private]
    ports = dict.fromkeys(endpoint.port for group in app.ports for endpoint in group if endpoint.port)
    mounted = [f"data{index or ''}:{app.below(folder, _IMAGE)}" for index, folder in enumerate(app.written)]
    volumes = [*mounted, *(f"./{name}:{_IMAGE / name}:ro" for name in private)]
    more = f"    volumes: {json.dumps(volumes)}\n" if volumes else ""
    if app.variables:
        more += f"    environment: {json.dumps(app.variables)} # as they are where `docker compose up` is said\n"
    named = "".join(f"\n  {volume.partition(':')[0]}:" for volume in mounted)
    return Files(
        {
            Path("Dockerfile"): _filled(
                "Dockerfile.in",
                name=app.name,
                written=" ".join([".signalpost", *written]),
                ports=" ".join(map(str, ports)),
                health=json.dumps(["python", "-c", _health(app)]),
            ),
            Path(".dockerignore"): _filled(
                "dockerignore.in", ignored="\n".join(dict.fromkeys([*_HIDDEN, *written, *private]))
            ),
            REQUIREMENTS: app.requirements,
            Path("compose.yaml"): _filled(
                "compose.yaml.in",
                name=app.name,
                published=", ".join(f'"127.0.0.1:{port}:{port}"' for port in ports),
                more=more,
                stop=app.stop,
                descriptors=app.descriptors,
                volumes=f"\nvolumes:{named}\n" if named else "",
            ).rstrip("\n")
            + "\n",
            Path("deploy", "seccomp.json"): (TEMPLATES / "seccomp.json").read_text(encoding="utf-8"),
        },
        [f"{name} is not in the image but mounted: let user 10001 read it (chown 10001 {name})" for name in private],
    )


def _health(app: DeployedApp) -> str:
    """Return Python that fails where the server does not answer."""
    page, path = app.health
    if page is None or not page.port:
        port = next((endpoint.port for endpoint in app.config.endpoints if endpoint.port), 0)
        return f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
    unverified = ", context=ssl._create_unverified_context()" if page.scheme.secure else ""  # its name is another
    url = f"{page.scheme.value}://127.0.0.1:{page.port}{path}"
    return f"import ssl, urllib.request as u; u.urlopen('{url}', timeout=2{unverified})"


def systemd(app: DeployedApp) -> Files:
    """Return a unit, and one for each socket that it is given."""
    home = Path("/srv", app.name)
    groups = {f"{app.name}-{group[0].name}.socket": group for group in app.ports}
    written = [app.below(folder, home) for folder in app.written]
    outside = [name for name in app.written_names if Path(name).is_absolute()]  # which others may use, too
    inside = [name for name in app.written_names if name not in outside]
    private = [str(app.below(file, home)) for file in app.private]
    unit = _filled(
        "unit.service.in",
        name=app.name,
        written=" ".join([".signalpost", *inside]),
        filled=" ".join([".signalpost", *(name for name in inside if name != ".")]),  # more than that is in its own
        owned=f"#     chown {app.name} {' '.join(private)}\n" if private else "",
        sockets=" ".join(groups),
        stop=app.stop,
        descriptors=app.descriptors,
        paths=" ".join(map(str, [home / ".signalpost", *written])),
    )
    contents = {Path("deploy", f"{app.name}.service"): unit, REQUIREMENTS: app.requirements}
    for file, group in groups.items():
        listen = "\n".join(_listen(group, app))
        contents[Path("deploy", file)] = _filled("unit.socket.in", name=app.name, endpoint=group[0].name, listen=listen)
    return Files(
        contents,
        [
            f"the app writes into {folder}: make that its own (install -d -o {app.name} -g {app.name} -m 0700 {folder})"
            f", or, if others use it, name a folder in it in routes.yaml, such as {folder}/{app.name}"
            for folder in outside
        ],
    )


def _listen(group: Sequence[EndpointConfig], app: DeployedApp) -> list[str]:
    """Return the lines of a socket's unit that say where it listens."""
    first = group[0]
    if first.socket:
        mode = next((endpoint.mode for endpoint in group if endpoint.mode is not None), 0o666)
        return [f"ListenStream={app.below(Path(first.socket), Path('/srv', app.name))}", f"SocketMode={mode:04o}"]
    if first.address == _ALL_IPV4:
        return [f"ListenStream=0.0.0.0:{first.port}"]
    try:
        found = socket.getaddrinfo(first.address, first.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise OperatorError(f'endpoint {first.name}: no address "{first.address}" is known here') from None
    addresses = dict.fromkeys(str(where[0]) for *_, where in found)
    return [f"ListenStream={f'[{each}]' if ':' in each else each}:{first.port}" for each in addresses]


def nginx(app: DeployedApp) -> Files:
    """Return a site of nginx.

    Raises:
        OperatorError: the app has no port and no Unix socket for it.
    """
    pages, sockets = app.pages or app.sockets, app.sockets or app.pages
    if pages is None or sockets is None:
        raise OperatorError("the app answers nothing itself: every endpoint redirects to another one")
    both = list(dict.fromkeys((pages, sockets)))
    names = list(dict.fromkeys(name for endpoint in both for name in endpoint.hosts)) or [_PLACEHOLDER]
    host = next((name for name in names if not name.startswith("*")), _PLACEHOLDER)
    told = _told(both, host, app)
    beside = app.config.file.removesuffix("routes.yaml")
    connections = app.config.limits.connections
    every = max(endpoint.keepalive.every + endpoint.keepalive.patience for endpoint in both)
    site = _filled(
        "nginx.conf.in",
        name=app.name,
        variable=app.name.replace("-", "_"),
        closed="".join(
            f"\n    # For this machine only.\n    location = {path} {{\n        return 404;\n    }}"
            for path in app.watched_at(pages)
        ),
        told="".join(f"# {note.removeprefix(beside)}\n" for note in told) + ("#\n" if told else ""),
        connections=f"{connections:,}",
        twice=2 * connections + 1024,
        pages=_upstream(pages, app),
        signals=_upstream(sockets, app),
        pages_scheme="https" if pages.scheme.secure else "http",
        signals_scheme="https" if sockets.scheme.secure else "http",
        names=" ".join(names),
        host=host,
        every=f"{every:g}",
        patience=int(max(app.config.limits.response, 2 * every)) + 10,
        body=app.config.limits.message + _BODY_OVERHEAD,
    )
    return Files({Path("deploy", "nginx.conf"): site}, told)


def _upstream(endpoint: EndpointConfig, app: DeployedApp) -> str:
    """Return where nginx finds an endpoint, on the same machine."""
    if endpoint.socket:
        return f"unix:{app.below(Path(endpoint.socket), Path('/srv', app.name))}"
    address = "127.0.0.1" if endpoint.address in ("*", "0.0.0.0") else endpoint.address  # noqa: S104 - where it listens
    if address == "::":
        address = "::1"
    return f"{f'[{address}]' if ':' in address else address}:{endpoint.port}"


def _told(endpoints: Sequence[EndpointConfig], host: str, app: DeployedApp) -> list[str]:
    """Return what routes.yaml lacks for nginx: whom to believe who the clients are, and the names of the site."""
    notes = []
    for endpoint in endpoints:
        lacks = []
        if not endpoint.hosts:
            lacks.append(f"hosts: [{host}]")
        if endpoint.proxies is None:
            lacks.append("proxies: [unix]" if endpoint.socket else 'proxies: [127.0.0.1, "::1"]')
        if lacks:
            place = app.config.source.place(endpoint.keys)
            notes.append(f"{place}: endpoint {endpoint.name}: behind nginx, write {', '.join(lacks)}")
    return notes

"""The command line: one function per command.

A command imports what it needs when it runs, since imports would take most of the time of `signalpost --version`.
"""

import gc
import os
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from http import HTTPMethod
from pathlib import Path
from time import time_ns
from typing import Any

import click

from signalpost import __version__
from signalpost.cli.commands import CommandGroup, Commands, NewCommand
from signalpost.cli.parameters import (
    Address,
    Claim,
    Duration,
    Header,
    ImaginedClient,
    JsonObject,
    Moment,
    Starter,
)
from signalpost.cli.streams import end_output, open_streams, plugins_print_to_stderr
from signalpost.errors import ConfigError

_MANY = 100_000  # objects that are created before the collector runs
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
STYLES = ("text", "json", "github")
METHOD = click.Choice([method.value for method in HTTPMethod], case_sensitive=False)
FILE = click.argument("file", default="routes.yaml", type=click.Path(path_type=str))
OUTPUT = click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
CHECK = click.option("--check", is_flag=True, help="Write nothing; the exit code is 1 if the file is another.")


def _proposed(what: str, *arguments: Any) -> Callable[..., list[Any]]:
    """Return what shell completion calls for a parameter, which reads the file."""

    def propose(ctx: click.Context, _param: click.Parameter, begun: str) -> list[Any]:
        from signalpost.cli import completion

        return [each for each in getattr(completion, what)(ctx, *arguments) if each.value.startswith(begun)]

    return propose


SIGNALS = _proposed("paths", ("signals",))
PATHS = _proposed("paths", ("signals", "routes"))
AS_PERSON = click.option(
    "--as",
    "person",
    metavar="PERSON",
    shell_complete=_proposed("people"),
    help="Ask as one of the people in auth, or as guest.",
)


HEADER = click.option(
    "-H", "--header", "headers", multiple=True, type=Header(), help="A header of the handshake. May be repeated."
)
BEARER = click.option(
    "--token", metavar="TOKEN", help="Say who you are; - reads it from stdin, so that it is in no list of processes."
)
INSECURE = click.option("-k", "--insecure", is_flag=True, help="Take any certificate, such as a self-signed one.")
PLAIN = click.option("--plain", is_flag=True, help="Do not speak signalpost.v1: frames are sent and shown as they are.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="signalpost", message="%(prog)s %(version)s")
def cli() -> None:
    """Real-time signals from one YAML file.

    FILE is routes.yaml in this folder unless you name another; plugins and relative paths are beside it.
    """


@cli.command("run")
@FILE
@click.option(
    "--log-level",
    default="warning",
    show_default=True,
    type=click.Choice(LOG_LEVELS),
    metavar="LEVEL",
    help="How much to say: debug, info, warning or error.",
)
@click.option(
    "--log-format",
    default="text",
    show_default=True,
    type=click.Choice(LOG_FORMATS),
    envvar="LOG_FORMAT",
    show_envvar=True,
    help="Lines for people, or an object of JSON a line for programs.",
)
@click.option("--access-log", is_flag=True, help="Log each handshake and request, without query and body.")
@click.option("--watch/--no-watch", default=True, show_default=True, help="Whether a save reloads.")
@click.option("--host", type=Address(), help="Listen at this address, whatever FILE says.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="The first port to listen at; others of FILE keep their distance.",
)
@click.option("--open", "show", is_flag=True, help="Open the first page in a browser.")
@click.option(
    "--check-sends", is_flag=True, help="Say when clients are sent what `sends` of their signal does not allow."
)
@click.option("--status/--no-status", default=True, help="Whether a terminal has a line about clients and messages.")
def run_command(
    file: str,
    *,
    watch: bool,
    host: str | None,
    port: int | None,
    show: bool,
    check_sends: bool,
    status: bool,
    **log: Any,
) -> None:
    """Serve what FILE says, until Ctrl-C or SIGTERM.

    What is saved while it runs counts at once: FILE, what it includes or names, templates, plugins. Clients stay
    connected, and a mistake leaves everything as it was. SIGHUP reloads, too.
    """
    since, home = time_ns(), Path.cwd()
    from signalpost.cli.loading import load
    from signalpost.cli.logkeep import LogOptions, begin_records
    from signalpost.cli.reload import Wishes
    from signalpost.cli.run import run_server
    from signalpost.cli.screen import screen_of_process
    from signalpost.config.endpoints import Listening

    listening = Listening(host, port)
    options = LogOptions.of(**log)
    # A program reads the log, even on a terminal.
    with screen_of_process(wanted=status and not options.as_json) as screen, begin_records(options):
        plan = load(file, listening, apart=False)
        wishes = Wishes(watch, since, home, listening)
        run_server(plan, options, wishes, show=show, check_sends=check_sends, screen=screen)


@cli.command("check")
@FILE
@click.option(
    "--format",
    "style",
    default=STYLES[0],
    show_default=True,
    type=click.Choice(STYLES),
    help="For people, for programs, or as annotations of a GitHub workflow.",
)
def check_command(file: str, style: str) -> None:
    """Say everything that is wrong with FILE and its plugins.

    The exit code is 1 if anything is.
    """
    from signalpost.cli.loading import load
    from signalpost.cli.output import wants_colour
    from signalpost.problemtext import Style, count_problems, render_note, render_problems

    text = Style(style) is Style.TEXT
    try:
        loaded = load(file)
    except ConfigError as error:
        # Here the problems are the result, so they go to stdout.
        click.echo(render_problems(error.problems, Style(style), colour=text and wants_colour(sys.stdout)))
        sys.exit(1)
    for note in loaded.notes:  # a JSON list of problems has no place for them
        click.echo(render_note(note, Style(style)), err=Style(style) is Style.JSON)
    if text:
        click.echo(f"{file}: {count_problems(0)}")
    elif nothing := render_problems((), Style(style)):
        click.echo(nothing)


@cli.command("routes")
@FILE
@click.option("--may", is_flag=True, help="Show instead who may do what: a column for each of the people in auth.")
def routes_command(file: str, *, may: bool) -> None:
    """Show what FILE serves, who owns it, and when jobs run next."""
    from signalpost.cli.loading import load
    from signalpost.cli.may import show_may
    from signalpost.cli.routes import show_routes

    (show_may if may else show_routes)(load(file, proofs=False))


@cli.command("plugins")
@FILE
def plugins_command(file: str) -> None:
    """Show the plugins of FILE, their hooks and handlers.

    Each handler is shown with where it is bound.
    """
    from signalpost.cli.loading import load
    from signalpost.cli.plugins import show_plugins

    show_plugins(load(file))


@cli.command("plan")
@FILE
@click.option("--against", metavar="OTHER", type=click.Path(path_type=str), help="Compare with this file.")
@click.option("--cluster", is_flag=True, help="Show the nodes at FILE's backplane, and which serve another plan.")
def plan_command(file: str, against: str | None, cluster: bool) -> None:
    """Show what FILE changes about the server that runs from it.

    Shown as well: the next runs of each job, and paths that two routes or signals want.
    """
    if cluster:
        if against is not None:
            raise click.UsageError("--cluster compares FILE with what nodes serve: leave --against out")
        from signalpost.cli.cluster import show_cluster

        show_cluster(file)
        return
    from signalpost.cli.plan import show_plan

    show_plan(file, against)


@cli.command("explain")
@click.argument("path", shell_complete=PATHS)
@FILE
@click.option("--method", type=METHOD, metavar="METHOD", help="Only the route that answers this HTTP method.")
@AS_PERSON
def explain_command(path: str, file: str, method: str | None, person: str | None) -> None:
    """Show which route or signal takes PATH, and why.

    PATH is as a client asks for it, such as /rooms/blue. With --as, it is shown what that person may do there, and
    which line decides.
    """
    from signalpost.cli.explain import show_takers
    from signalpost.cli.loading import load

    show_takers(load(file, proofs=False), path, method, person)


@cli.command("try")
@click.argument("path", shell_complete=PATHS)
@click.argument("message", required=False)
@FILE
@click.option(
    "--method",
    type=METHOD,
    metavar="METHOD",
    help="Not a message, but an HTTP request with MESSAGE, if any, as its body.",
)
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of the sender's. May be repeated.")
@click.option(
    "--client",
    "others",
    multiple=True,
    type=ImaginedClient(),
    help="Another client: its id, user, path, groups. May be repeated; without it, there is one on PATH, and one not.",
)
@click.option("--state", type=JsonObject(), help="What is in the state: a JSON object.")
@click.option(
    "--endpoint",
    metavar="NAME",
    shell_complete=_proposed("names", "endpoints"),
    help="The endpoint where all are connected.",
)
@AS_PERSON
@click.option("--call", is_flag=True, help="Call plugins too: they do what they do, and are started before.")
def try_command(file: str, **asked: Any) -> None:
    """Show what becomes of MESSAGE on PATH, and who receives it.

    There is no server: clients are imagined, and the state is forgotten. MESSAGE is what a client sends, such as
    '{"message": "hello"}'; - reads it from stdin. The exit code is 1 if clients receive what `sends` of their signal
    does not allow.
    """
    from signalpost.cli.imagined import Question
    from signalpost.cli.loading import load
    from signalpost.cli.try_ import try_message

    if asked["method"] and (asked["groups"] or asked["endpoint"]):
        raise click.UsageError("a request has neither groups nor a WebSocket's endpoint: leave them out with --method")
    text = asked.pop("message")
    if text is None:
        if not asked["method"]:
            raise click.UsageError("Missing argument 'MESSAGE'.")
        text = ""
    if not try_message(load(file, proofs=False), Question(text=sys.stdin.read() if text == "-" else text, **asked)):
        sys.exit(1)


@cli.command("types")
@FILE
@OUTPUT
@CHECK
def types_command(file: str, *, output: Path | None, check: bool) -> None:
    """Print what clients send and read on each signal, as TypeScript.

    It is the interface Signals, by path: `schema` of a signal says what is sent there, and `sends` what is read.
    """
    from signalpost.cli.generated import put_out
    from signalpost.cli.loading import load
    from signalpost.cli.types import types_text

    command = _again("types", file, output, check=check)
    if not put_out(types_text(load(file)), output, check=check, command=command):
        sys.exit(1)


@cli.command("asyncapi")
@FILE
@OUTPUT
@CHECK
@click.option("--title", help="What the document is called.  [default: Signals of FILE]")
@click.option("--version", default="1.0.0", show_default=True, help="The version of what it describes.")
def asyncapi_command(file: str, *, output: Path | None, check: bool, title: str | None, version: str) -> None:
    """Print the signals of FILE as an AsyncAPI 3.0 document."""
    from signalpost.cli.asyncapi import asyncapi_text
    from signalpost.cli.generated import put_out
    from signalpost.cli.loading import load

    command = _again("asyncapi", file, output, check=check)
    if not put_out(asyncapi_text(load(file), title, version), output, check=check, command=command):
        sys.exit(1)


def _again(command: str, file: str, output: Path | None, *, check: bool) -> str:
    """Return the command that makes a file anew.

    Raises:
        UsageError: there is no file to be checked.
    """
    if output is None and check:
        raise click.UsageError("--check compares a file: name it with --output")
    named = [] if file == "routes.yaml" else [shlex.quote(file)]
    return " ".join(["signalpost", command, *named, "--output", shlex.quote(str(output))])


@cli.command("listen")
@click.argument("url")
@click.option("--at", metavar="POSITION", help="Go on behind this value: a position that --json has shown.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each value, with its path and position.")
@click.option("--count", metavar="N", type=click.IntRange(1), help="End after so many values.")
@BEARER
@HEADER
@INSECURE
@PLAIN
def listen_command(url: str, *, at: str | None, as_json: bool, count: int | None, **how: Any) -> None:
    """Print what comes to URL, until Ctrl-C.

    Each value is a line; what is no value is said on stderr. URL is the one of a signal, such as
    ws://localhost:8080/rooms/blue. When the connection breaks, it is made again, and goes on where it was. The server
    may be any one that has WebSockets.
    """
    from signalpost.cli.listen import listen
    from signalpost.cli.rooms import Reach, read_token

    token = read_token(how.pop("token"))
    listen(Reach(url, dict(how.pop("headers")), token, **how), at=at, as_json=as_json, count=count)


@cli.command("send")
@click.argument("url")
@click.argument("message")
@click.option("--path", help="Send it to the clients on this path.")
@click.option("--group", metavar="NAME", help="Send it to the clients of this group.")
@click.option("--client", metavar="ID", help="Send it to the client of this id.")
@click.option("--user", metavar="NAME", help="Send it to the clients of this user.")
@click.option("--direct", is_flag=True, help="Send it back.")
@click.option(
    "--once", metavar="TEXT", help="The key once of the message: its repeat in the same session is not done again."
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="For the connection, and for each answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each answer as a JSON object, acknowledgements too.")
@BEARER
@HEADER
@INSECURE
@PLAIN
def send_command(url: str, message: str, *, timeout: float, as_json: bool, **asked: Any) -> None:
    """Send MESSAGE to URL, and print the reply.

    Without a reply, an acknowledgement is waited for. MESSAGE is a JSON object as a client sends it, such as
    '{"message": "hello"}'; anything else is taken as what stands behind "message". - reads stdin, a message a line. The
    exit code is 1 if a message was refused or not answered.
    """
    from signalpost.cli.rooms import Reach, read_token
    from signalpost.cli.send import STDIN, send

    wanted = {"path": "path", "group": "group", "client": "clientId", "user": "user"} | {
        "direct": "direct",
        "once": "once",
    }
    given = {key: asked.pop(option) for option, key in wanted.items()}
    keys = {key: value for key, value in given.items() if value not in (None, False)}
    token = asked.pop("token")
    if message == token == STDIN:
        raise click.UsageError("stdin has one of the two: MESSAGE or --token")
    reach = Reach(url, dict(asked.pop("headers")), read_token(token), **asked)
    send(reach, message, keys=keys, timeout=timeout, as_json=as_json)


@cli.command("token")
@FILE
@click.option("--user", metavar="NAME", help="Sign a token that names this user.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    type=Claim(),
    help="What else it says; JSON, or a text: roles=admin, rooms='[\"blue\"]'. May be repeated.",
)
@click.option(
    "--for", "lasts", default="15m", show_default=True, type=Duration(), help="How long it is good: 30s, 15m, 8h, 7d."
)
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), help="A file with the private key, if FILE names none."
)
@click.option("--read", metavar="TOKEN", help="Sign nothing: say whether TOKEN is good, and why; - reads stdin.")
def token_command(
    file: str,
    *,
    user: str | None,
    claims: tuple[tuple[str, Any], ...],
    lasts: float,
    key: Path | None,
    read: str | None,
) -> None:
    """Print a token for development, signed as FILE wants it.

    With --read it shows what a token says, and at which rule it fails. The exit code is 1 if it is not good.
    """
    from signalpost.cli.loading import load

    if (user is None) is (read is None):
        raise click.UsageError("give --user NAME to sign a token, or --read TOKEN to read one")
    if read is not None and (claims or key is not None):
        raise click.UsageError("--read signs nothing: leave out --claim and --key")
    plan = load(file, proofs=False)
    from signalpost.cli.token import show_token, sign_token, user_claim

    if read is not None:
        if not show_token(plan, read):
            sys.exit(1)
        return
    said, names = dict(claims), user_claim(plan)
    if said.get(names, user) != user:
        raise click.UsageError(f"--user names the user, which the claim {names} says: leave out --claim {names}=…")
    click.echo(sign_token(plan, {**said, names: user}, lasts, key))


RUNNING = click.option(
    "--file", default="routes.yaml", show_default=True, metavar="FILE", help="The file that the server runs from."
)


@cli.command("kick")
@click.argument("client", required=False)
@RUNNING
@click.option("--user", metavar="NAME", help="The clients of this user.")
@click.option("--path", shell_complete=SIGNALS, help="The clients on this path.")
@click.option("--group", metavar="NAME", help="The clients of this group.")
@click.option("--ban", type=Duration(), help="Let nobody of --user in for so long, such as 1h.")
@click.option("--reason", metavar="TEXT", help="What they are told.")
@click.option("--code", type=int, help="Of the close frame.  [default: 4009; with --ban 4403]")
def kick_command(file: str, *, ban: float | None, **whom: Any) -> None:
    """Send clients of the running server away.

    CLIENT is an id, as `signalpost clients` shows it. Clients must match all that is given.
    """
    from signalpost.cli.moderate import kick

    named = [name for name in ("client", "user", "path", "group") if whom[name] is not None]
    if not named:
        raise click.UsageError("nobody is named: give CLIENT, --user, --path or --group, or several of them")
    if ban is not None and (named != ["user"] or whom["code"] is not None):
        raise click.UsageError("--ban is for a user alone: give --user NAME, and neither others nor --code")
    kick(file, ban=ban, **whom)


@cli.command("unban")
@click.argument("user")
@RUNNING
def unban_command(user: str, file: str) -> None:
    """Let a banned USER in again."""
    from signalpost.cli.moderate import unban

    unban(file, user)


@cli.command("revoke")
@RUNNING
@click.option("--user", metavar="NAME", help="Tokens of this user.")
@click.option("--token-id", metavar="ID", help="The token of this id (its claim jti).")
@click.option("--before", type=Moment(), help="Only tokens of --user that were issued before this.  [default: now]")
@click.option("--for", "seconds", type=Duration(), help="For how long: as long as they are good.  [default: 1d]")
@click.option("--lift", is_flag=True, help="End a revocation instead.")
@click.option("--list", "listed", is_flag=True, help="Show who is banned, and what is revoked.")
def revoke_command(file: str, *, lift: bool, listed: bool, **what: Any) -> None:
    """Refuse tokens at the running server.

    Connections that were made with them are closed.
    """
    from signalpost.cli.moderate import revoke, show_revoked

    user, token_id, before, seconds = (what[name] for name in ("user", "token_id", "before", "seconds"))
    if listed:
        if lift or any(value is not None for value in what.values()):
            raise click.UsageError("--list stands alone")
        show_revoked(file)
        return
    if (user is None) is (token_id is None):
        raise click.UsageError("name either --user or --token-id")
    if before is not None and user is None:
        raise click.UsageError("--before is for tokens of a --user")
    if lift and not (before is None and seconds is None):
        raise click.UsageError("--lift ends a revocation as a whole: leave --before and --for out")
    revoke(file, lift=lift, before=before, seconds=seconds, user=user, token_id=token_id)


@cli.command("clients")
@RUNNING
@click.option("--user", metavar="NAME", help="Only those of this user.")
@click.option("--path", shell_complete=SIGNALS, help="Only those on this path.")
@click.option("--group", metavar="NAME", help="Only those of this group.")
def clients_command(file: str, **whom: str | None) -> None:
    """Show who is connected to the running server."""
    from signalpost.cli.moderate import show_clients

    show_clients(file, **whom)


@cli.group("live", cls=CommandGroup)
def live() -> None:
    """Publish to clients of the running server, and see what it does.

    The same as its API for other programs, over the control socket, with no key: see core/docs/api.md.
    """


@live.command("publish")
@click.argument("path", shell_complete=SIGNALS)
@click.argument("value")
@RUNNING
@click.option("--group", metavar="NAME", help="Only to clients of this group.")
@click.option("--client", metavar="ID", help="Only to the client of this id.")
@click.option("--user", metavar="NAME", help="Only to clients of this user.")
@click.option("--once", metavar="TEXT", help="Send nothing if a value with this text was sent in the last 10 minutes.")
def live_publish(file: str, path: str, value: str, **more: str | None) -> None:
    """Send VALUE to the clients on PATH, or to `everyone`.

    VALUE is JSON; anything else is a text.
    """
    from signalpost.cli.live import publish

    publish(file, path, value, **more)


@live.command("history")
@click.argument("path", shell_complete=SIGNALS)
@RUNNING
@click.option("--after", metavar="POSITION", help="What follows this position, instead of the newest values.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1_000), help="How many values.")
@click.option("--json", "as_json", is_flag=True, help="Print each value as a JSON object with its position.")
def live_history(file: str, path: str, *, after: str | None, limit: int, as_json: bool) -> None:
    """Show what is kept of PATH, oldest first."""
    from signalpost.cli.live import history

    history(file, path, after=after, limit=limit, as_json=as_json)


@live.command("presence")
@click.argument("path", shell_complete=SIGNALS)
@RUNNING
def live_presence(file: str, path: str) -> None:
    """Show who is on PATH."""
    from signalpost.cli.live import presence

    presence(file, path)


@live.command("top")
@RUNNING
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(0.1, 3_600), help="Seconds.")
@click.option("--count", default=0, type=click.IntRange(0), help="End after so many tables.  [default: with Ctrl-C]")
def live_top(file: str, *, every: float, count: int) -> None:
    """Show what each signal does: clients, rates, and what waits."""
    from signalpost.cli.live import top

    top(file, every=every, count=count)


live.add_command(cli.commands["kick"])
live.add_command(cli.commands["clients"])


@cli.command("jobs")
@RUNNING
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each job.")
def jobs_command(file: str, *, as_json: bool) -> None:
    """Show when each job ran and runs next, and what failed.

    It is asked of the running server, with how long each took. Without a server it is shown what the file says of them.
    """
    from signalpost.cli.jobs import show_jobs

    show_jobs(file, as_json=as_json)


@cli.command("new", cls=NewCommand)
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--from",
    "starter",
    type=Starter(),
    shell_complete=_proposed("starters_of"),
    help="The app to begin with: one of those below.",
)
@click.option("--plugin", is_flag=True, help="Not an app, but a plugin as an installable package, with tests.")
@click.option(
    "--deploy",
    "deploy",
    multiple=True,
    type=click.Choice(("docker", "systemd", "nginx")),
    help="Also what runs it there. May be repeated, and FOLDER may be an app that is there already.",
)
def new_command(folder: Path | None, starter: str | None, *, plugin: bool, deploy: tuple[str, ...]) -> None:
    """Make FOLDER with a working app in it, to be changed at will.

    With --plugin it is a plugin, named after FOLDER. With --deploy, an app that is in FOLDER (or, without one, here)
    gets the files for its deployment, and nothing else: no file that is there is touched.
    """
    from signalpost.cli.new import DEMO, create_app, create_plugin

    if plugin and starter is not None:
        raise click.UsageError("--from is for apps, and --plugin makes a plugin: leave one of them out")
    if plugin and deploy:
        raise click.UsageError("--deploy is for apps, and --plugin makes a plugin: leave one of them out")
    folder = folder or _folder_here(deploy)
    if deploy and (folder / "routes.yaml").exists():
        if starter is not None:
            raise click.UsageError(f"{folder} has an app already, which stays as it is: leave --from out")
        _deploy(folder, deploy)
        return
    files, passwords = (create_plugin(folder), {}) if plugin else create_app(folder, starter or DEMO)
    for file in files:
        click.echo(f"  {folder / file}")
    if deploy:
        _deploy(folder, deploy)
    if passwords:
        click.echo("\nPasswords, shown only now (secrets.yaml has their hashes):")
        for person, password in passwords.items():
            click.echo(f"  {person}  {password}")
    here = folder.resolve() == Path.cwd()
    following = "pip install -e '.[test]' && pytest" if plugin else "signalpost run"
    click.echo("\nNow:  " + ("" if here else f"cd {shlex.quote(str(folder))} && ") + following)


def _folder_here(deploy: Collection[str]) -> Path:
    """Return the folder of a command that names none: --deploy is for the app here."""
    if deploy and Path("routes.yaml").exists():
        return Path()
    here = " (without one, --deploy is for the app here, and here is no routes.yaml)" if deploy else ""
    raise click.UsageError(f"Missing argument 'FOLDER'{here}.")


def _deploy(folder: Path, kinds: Sequence[str]) -> None:
    """Write the files of a deployment, and show what became of each."""
    from signalpost.cli.deploy import Kind, write_deployment
    from signalpost.cli.output import show_notes

    done = write_deployment(folder, map(Kind, kinds))
    for file in done.made:
        click.echo(f"  {folder / file}")
    for file in done.kept:
        click.echo(f"  {folder / file}  is there already, and stays as it is")
    show_notes(done.notes)
    click.echo("\nEach of these files begins with how it is used.")


@cli.command("schema")
@FILE
@click.option("--write", is_flag=True, help="Put it beside FILE, where its first line lets editors look for it.")
def schema_command(file: str, write: bool) -> None:
    """Print the JSON Schema of routes.yaml, for editors.

    It has the actions, settings and handlers of the plugins that FILE uses.
    """
    from signalpost.cli.schema import app_schema, schema_text, write_schema

    with plugins_print_to_stderr():
        made = app_schema(Path(file))
    click.echo(write_schema(Path(file).parent, made) if write else schema_text(made))


@cli.command("reference")
def reference_command() -> None:
    """Print what every key of routes.yaml means, as Markdown."""
    from signalpost.cli.reference import reference as text

    click.echo(text(), nl=False)


@cli.command("completion")
@click.argument("shell", required=False, type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str | None) -> None:
    """Print a script that completes commands and options with Tab.

    It also completes files, paths of signals and routes, names of endpoints, people and starters. SHELL is yours, from
    the environment, unless you name another. For the shell that runs: eval "$(signalpost completion bash)", in fish
    signalpost completion fish | source.
    """
    from signalpost.cli.completion import script, shell_of

    root = ctx.find_root()
    click.echo(script(shell or shell_of(dict(os.environ)), root.command, str(root.info_name)))


def main() -> None:
    """Run the command line."""
    # What is imported and loaded is no garbage: to look for some would take a sixth of the time of `check`.
    gc.set_threshold(_MANY)
    open_streams()
    try:
        cli(prog_name="signalpost")
    finally:
        end_output()

"""What ``--help`` adds to what click says: commands in sections, and examples, which tests run."""

from collections.abc import Iterable, Mapping, Sequence

FIRST_STEPS = (
    ("signalpost new chat && cd chat", "make a folder with an app that works"),
    ("signalpost run --open", "serve it, and see its page"),
    ("signalpost check", "see what is wrong in routes.yaml"),
    ("signalpost COMMAND --help", "what a command does, with examples"),
)

SECTIONS: Mapping[str, Sequence[str]] = {
    "Make an app": ("new", "run", "check"),
    "See what it does": ("routes", "explain", "try", "plan", "plugins", "reference"),
    "Talk to a server": ("listen", "send"),
    "Look after a running server": ("clients", "jobs", "kick", "unban", "revoke", "token"),
    "Make files of it for others": ("types", "asyncapi", "schema", "completion"),
}
"""The commands in the order in which a stranger needs them."""

OTHERS = "More"
"""The section of commands that stand in no other."""

EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "new": (
        ("new chat", "the chat of the demo"),
        ("new vote --from poll", "another app, with its page"),
        ("new clock --plugin", "a plugin that others can install"),
    ),
    "run": (
        ("run", "routes.yaml of this folder"),
        ("run --port 9000 --open", "at another port, with its page in a browser"),
        ("run --host 0.0.0.0 --no-watch", "for other machines; only SIGHUP reloads"),
    ),
    "check": (
        ("check", "routes.yaml of this folder"),
        ("check --format github", "in a workflow: each mistake at its line"),
    ),
    "routes": (("routes", "who answers where"), ("routes --may", "who may do what")),
    "explain": (
        ("explain /rooms/blue", "which signal takes it, and what it does"),
        ("explain /broadcast --method POST", "which route answers a request"),
    ),
    "try": (
        ('try /rooms/blue \'{"message": "hi"}\'', "a message"),
        ('try /broadcast \'{"message": "hi"}\' --method POST', "a request"),
        ('try / \'{"message": "hi"}\' --client bob=/rooms/red', "with bob elsewhere"),
    ),
    "plan": (
        ("plan", "what a save changes in the server that runs"),
        ("plan --against routes.old.yaml", "what differs between two files"),
    ),
    "listen": (
        ("listen ws://127.0.0.1:8091/rooms/blue", "until Ctrl-C"),
        ("listen ws://127.0.0.1:8091/rooms/blue --json --count 1", "one value, with its position"),
    ),
    "send": (
        ("send ws://127.0.0.1:8091/rooms/blue hello", "a text"),
        ('send ws://127.0.0.1:8091/ \'{"message": {"x": 1}}\'', "an object"),
        ("send ws://127.0.0.1:8091/ - < messages.txt", "a message a line"),
    ),
    "clients": (("clients", "all of them"), ("clients --path /rooms/blue", "those on a path")),
    "jobs": (("jobs", "when each ran last, and runs next"), ("jobs --json", "for programs")),
    "kick": (
        ("kick --user eve --reason 'be kind'", "all connections of eve"),
        ("kick --user eve --ban 1h", "and nobody of that name for an hour"),
    ),
    "unban": (("unban eve", "eve may come in again"),),
    "revoke": (
        ("revoke --user eve", "all tokens of eve that are issued by now"),
        ("revoke --list", "what is revoked, and who is banned"),
    ),
    "token": (
        ("token --user ann --claim roles=admin", "a token that is good for 15 minutes"),
        ("token --read eyJhbGciOiJIUzI1NiJ9.e30.x", "why it is good, or is not"),
    ),
    "types": (
        ("types --output signals.ts", "write the file"),
        ("types --output signals.ts --check", "in CI: is it as it should be?"),
    ),
    "asyncapi": (("asyncapi --output asyncapi.json --title Chat", "write the file"),),
    "schema": (("schema --write", "where the first line of routes.yaml says"),),
    "completion": (
        ("completion bash >> ~/.bashrc", "for bash, from the next one on"),
        ("completion zsh >> ~/.zshrc", "for zsh, behind compinit"),
        ("completion fish > ~/.config/fish/completions/signalpost.fish", "for fish"),
    ),
}
"""Examples of each command, without the name of the program, and what each shows."""


def sections(commands: Iterable[str]) -> dict[str, list[str]]:
    """Return the sections with those of the commands that stand in them; all others come last."""
    left = list(commands)
    found = {title: [name for name in names if name in left] for title, names in SECTIONS.items()}
    placed = {name for names in found.values() for name in names}
    found[OTHERS] = [name for name in left if name not in placed]
    return {title: names for title, names in found.items() if names}

"""``broadcast``: sends a value to clients."""

from collections.abc import Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, option
from signalpost.actions.execution import Run
from signalpost.actions.given import text_of
from signalpost.config.actions import MAY_HAVE_SENDER, Place, has_template
from signalpost.config.section import Section
from signalpost.delivery.target import Receipt
from signalpost.paths import PathPattern, split_path

_TARGETS = ("path", "group", "client", "user")


def broadcast(run: Run, options: Mapping[str, Any]) -> Receipt:
    """Send a value to clients; see `signalpost.events.Broadcast`."""
    if len(options) == 1:
        return run.count(run.event.broadcast(options["value"]))
    target = {name: text_of(name, options[name]) for name in _TARGETS if name in options}
    if "to" in options:
        target["to"] = options["to"]
    return run.count(run.event.broadcast(options["value"], **target))


async def count(run: Run, options: Mapping[str, Any]) -> None:
    """Send a value, and wait until it is known how many clients all nodes have for it."""
    receipt = broadcast(run, options)
    if receipt.later is not None:
        run.matched = (await receipt.later).matched


def _check(step: Section, place: Place) -> None:
    options = step.section("broadcast")
    if options is None:
        return
    reach = options.text("to")
    if "to" in options and reach != "others" and any(target in options for target in _TARGETS):
        options.problem(
            "to",
            "to stands alone, unless it is others: leave it out, or leave out path, group, client and user",
            of_key=True,
        )
    if reach in ("sender", "others") and place not in MAY_HAVE_SENDER:
        options.problem("to", f"in {place.value} there is no sender (allowed: everyone)")
    if not has_template(options.text("path") or ""):
        options.parsed("path", parse_target)


def parse_target(text: str) -> str:
    """Check the path of a target: it must be one on which a client can be connected."""
    if "<" in text or ">" in text:
        raise ValueError(f"one path is meant, as in /rooms/blue: {text!r} has parameters")
    PathPattern.parse(text)
    return text if split_path(text) == [] else text.rstrip("/")


ACTION = BuiltIn(
    schema=option(
        "Broadcast",
        (
            "Sends a value to clients. A client must match all that is given of path, group, client and user. Without "
            "these, and without to, it goes where the client's message asks, or else to everyone. Every "
            "option may hold templates. A path, group, client or user that renders to empty or null is an error, "
            "never everyone."
        ),
        "object",
        additionalProperties=False,
        required=["value"],
        properties={
            "value": option(
                "Value",
                "Text is sent unchanged, anything else as compact JSON. null and empty text send nothing.",
                examples=[{"ResponseTimes": [123, 101, 104]}, "hello", "{{ message }}"],
            ),
            "to": option(
                "To everyone, to the others, or to the sender",
                (
                    "Replaces path, group, client and user, and what the client's message asks for. others excludes "
                    "the sender, from everyone or from those that path, group, client and user match. In a "
                    "route the sender is the connected client whose session the request names. Without it, those apply."
                ),
                "string",
                enum=["everyone", "others", "sender"],
                examples=["everyone", "others"],
            ),
            "path": option(
                "To a path",
                "Only to clients connected on this path. Without it, on any path.",
                "string",
                pattern="^(/|.*[{][{%])",
                examples=["/response-times", "{{ path }}", "/rooms/{{ data.room }}"],
            ),
            "group": option(
                "To a group",
                "Only to clients of this group. Without it, of any groups.",
                "string",
                minLength=1,
                examples=["admins"],
            ),
            "client": option(
                "To a client",
                "Only to the client with this id. Without it, with any id.",
                "string",
                minLength=1,
                examples=["b1946ac92492d234", "{{ data.clientId }}"],
            ),
            "user": option(
                "To a user",
                "Only to clients of the user with this name. Without it, of any user, and to guests.",
                "string",
                minLength=1,
                examples=["ann", "{{ data.to }}"],
            ),
        },
        examples=[{"value": "hello", "path": "/news"}],
    ),
    check=_check,
    effect=broadcast,
    counted=count,
    changes=True,
)

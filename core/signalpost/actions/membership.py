"""Shared by ``join`` and ``leave``: one group or several, of the sender or of another client."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from signalpost.actions.declaration import BuiltIn, Draft, option
from signalpost.actions.execution import Run
from signalpost.actions.given import text_of
from signalpost.actions.steps import Step
from signalpost.config.actions import NO_SENDER, WITH_SENDER, Place
from signalpost.config.section import Section

_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}


def membership(name: str, title: str, does: str, examples: list[Any], change: Callable[[Any, str], None]) -> BuiltIn:
    """Declare an action.

    Args:
        name: of the action.
        title: for editors.
        does: the beginning of its description.
        examples: for editors.
        change: called with a client and the name of a group.
    """

    def own(run: Run, groups: Any) -> None:
        for group in _groups(groups):
            change(run.event.client, group)

    def another(run: Run, options: Mapping[str, Any]) -> None:
        client = run.event.shared.clients.get(text_of("client", options["client"]))
        for group in _groups(options["group"]) if client is not None else ():
            change(client, group)

    def check(step: Section, place: Place) -> None:
        if not isinstance(step.data.get(name), dict) and place not in WITH_SENDER:
            text = f"{name} has no place in {place.value}: {NO_SENDER}; name one: {{group: …, client: …}}"
            step.problem(name, text, of_key=True)

    def compile_membership(draft: Draft) -> Step:
        given = draft.config.options
        # A template cannot change the target: the file shows which client is meant.
        return draft.leaf(draft.options(given), another if isinstance(given, dict) else own)

    return BuiltIn(schema=_schema(title, does, examples), check=check, compile=compile_membership, effect=own)


def _groups(groups: Any) -> Iterator[str]:
    for group in groups if isinstance(groups, list) else [groups]:
        yield text_of("a group", group)


def _schema(title: str, does: str, examples: list[Any]) -> Mapping[str, Any]:
    groups: dict[str, Any] = {"items": _TEXT, "minLength": 1, "minItems": 1}
    return option(
        title,
        f"{does}. With client, that is done to another client: the one with this id, if there is one.",
        ["string", "array", "object"],
        **groups,
        additionalProperties=False,
        required=["group", "client"],
        properties={
            "group": option(
                "Group",
                "The name of a group, or a list of them.",
                ["string", "array"],
                **groups,
                examples=["game {{ data.game }}"],
            ),
            "client": option("Client", "The id of a client.", **_TEXT, examples=["{{ data.guest }}"]),
        },
        examples=examples,
    )

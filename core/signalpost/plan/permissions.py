"""Compiles who may do what, with the defaults of an app with ``auth``, and reports what nobody has decided."""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from signalpost.actions.names import OF_MESSAGE_PERMISSIONS, OF_PERMISSIONS, OF_SIGNAL_PERMISSIONS, Getter
from signalpost.config.authmodel import ChoiceConfig, MayWord, PermissionConfig, Verb
from signalpost.config.model import RouteConfig, SignalConfig
from signalpost.handlers import Handler
from signalpost.plan.actions import Shapes, StepCompiler, route_shapes, signal_shapes
from signalpost.plan.rulings import DEFAULT
from signalpost.plugins.authorization import authorizer_of
from signalpost.signals.permissions import Choice, Permission, Permits

_OF_AUTH: Mapping[Verb, MayWord] = {
    Verb.CONNECT: MayWord.USERS,
    Verb.HISTORY: MayWord.NOBODY,
    Verb.PRESENCE: MayWord.NOBODY,
}
_NAMES: Mapping[Verb, Mapping[str, Getter]] = {
    Verb.CONNECT: OF_SIGNAL_PERMISSIONS,
    Verb.PUBLISH: OF_MESSAGE_PERMISSIONS,
    Verb.TARGET: OF_MESSAGE_PERMISSIONS,
    Verb.HISTORY: OF_SIGNAL_PERMISSIONS,
    Verb.PRESENCE: OF_SIGNAL_PERMISSIONS,
    Verb.REQUEST: OF_PERMISSIONS,
}
_READING = ("GET", "HEAD")
_UNSTABLE = frozenset({"state", "request", "now", "client"})
_CHANGING = ("random", "uuid")  # a filter and a function of every template
_WORD = re.compile(r"[A-Za-z_]\w*")


class PermissionCompiler:
    """Compiles the permissions of one plan.

    Args:
        compiler: of its lists of actions.
    """

    def __init__(self, compiler: StepCompiler) -> None:
        self._compiler = compiler
        self._config = compiler.resolver.config
        registry = compiler.resolver.registry
        self._authorize = authorizer_of(registry)
        self._changing = frozenset((*_CHANGING, *registry.template_globals, *registry.template_filters))

    def of_signal(self, signal: SignalConfig, owner: str) -> Permits | None:
        """Return who may do what at a signal; None if nobody is ever asked."""
        rules = {verb: self._permission(said, verb, signal_shapes(signal)) for verb, said in signal.may.items()}
        if self._config.auth is not None:
            rules = {**{verb: _default(word) for verb, word in _OF_AUTH.items()}, **rules}
            if rules[Verb.CONNECT].word is MayWord.ANYONE:
                self._compiler.note(f"{rules[Verb.CONNECT].where}: anyone may connect to {signal.path}")
        return self._permits(rules, owner)

    def of_route(self, route: RouteConfig, owner: str, handler: Handler | None = None) -> Permits | None:
        """Return who may request a route; None if nobody is ever asked.

        Args:
            route: from routes.yaml, or from a decorator.
            owner: see `Permits`.
            handler: of a decorator.
        """
        if route.may is None:
            self._check_decided(route, handler)
            return self._permits({}, owner)
        return self._permits({Verb.REQUEST: self._permission(route.may, Verb.REQUEST, route_shapes(route))}, owner)

    def of_console(self, said: PermissionConfig | None) -> Permits | None:
        """Return who may use the console; None if nobody is ever asked."""
        if said is None:
            return None
        return self._permits({Verb.REQUEST: self._permission(said, Verb.REQUEST, {})}, self._compiler.where(said.keys))

    def _permits(self, rules: Mapping[Verb, Permission], owner: str) -> Permits | None:
        asked = {verb: rule for verb, rule in rules.items() if rule.word is not MayWord.ANYONE}
        return Permits(asked, owner, self._authorize) if asked or self._authorize else None

    def _check_decided(self, route: RouteConfig, handler: Handler | None) -> None:
        """Report a route that changes something while nobody has said who may."""
        changing = [method for method in route.methods if method not in _READING]
        if self._config.auth is None or not changing:
            return
        if handler is None:
            text = (
                f"the file has auth, and nobody has said who may {changing[0]} {route.path}: "
                "write may: users, or may: anyone"
            )
            self._compiler.resolver.report.problem(route.keys, text)
            return
        self._compiler.resolver.report.fault(
            handler,
            f"the file has auth, and nobody has said who may {changing[0]} {route.path}: write it in routes, as in "
            f"{{path: {route.path}, method: {changing[0]}, handler: {handler.name}, may: users}}",
        )

    def _permission(self, said: PermissionConfig, verb: Verb, shapes: Shapes) -> Permission:
        choices = tuple(self._choices(said, verb, shapes))
        return Permission(choices, self._compiler.where(said.keys))

    def _choices(self, said: PermissionConfig, verb: Verb, shapes: Shapes) -> Iterator[Choice]:
        for choice in said.choices:
            yield self._choice(choice, verb, shapes)

    def _choice(self, choice: ChoiceConfig, verb: Verb, shapes: Shapes) -> Choice:
        where = self._compiler.where(choice.keys)
        if choice.word is not None:
            return Choice(where, choice.word)
        options = self._compiler.expression(choice.expression, choice.keys, _NAMES[verb], shapes)
        asked = options.names & _UNSTABLE | self._words_of(choice.expression)
        imagine = partial(self._compiler.outcomes, choice.expression, options)
        return Choice(where, None, options.of, options.names, choice.expression, asked, imagine)

    def _words_of(self, expression: str) -> frozenset[str]:
        """Return the functions and filters in an expression that may say something else each time."""
        return self._changing.intersection(_WORD.findall(expression))


def _default(word: MayWord) -> Permission:
    return Permission((Choice(DEFAULT, word),), DEFAULT)


def check_undeclared(compiler: StepCompiler) -> None:
    """Report paths that anyone may use although the file has ``auth``."""
    config = compiler.resolver.config
    if config.auth is None or config.undeclared_refused:
        return
    if any(endpoint.scheme.websocket for endpoint in config.endpoints):
        text = (
            "nobody has said who may connect on paths that no signal declares: write undeclared: refuse at the top "
            "of the file"
        )
        compiler.resolver.report.problem(config.auth.keys, text, of_key=True)

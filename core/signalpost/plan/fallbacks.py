"""Signals over plain HTTP: which routes stand before them, and which of them a POST must not reach."""

from collections.abc import Sequence

from signalpost.config.model import EndpointConfig, Rebroadcast, ServerConfig
from signalpost.plan.plan import RouteRule
from signalpost.plan.precedence import claims_of, meeting
from signalpost.plan.report import PlanReport
from signalpost.signals.rule import RELAY, SignalRule

_OF_SIGNALS = ("GET", "POST")


def check_fallbacks(
    config: ServerConfig, routes: Sequence[RouteRule], signals: Sequence[SignalRule], report: PlanReport
) -> None:
    """Report signals to which a POST would send past what their clients do first; note routes that stand before one.

    Args:
        config: of the app.
        routes: of the plan.
        signals: of the plan.
        report: receives problems and notes.
    """
    for endpoint in config.endpoints:
        if not endpoint.fallbacks:
            continue
        served = [rule for rule in signals if endpoint.name in rule.endpoints]
        for rule in served:
            _check_arrival(config, endpoint, rule, report)
        for claim in claims_of([rule for rule in routes if endpoint.name in rule.endpoints]):
            methods = [method for method in claim.methods if method in _OF_SIGNALS]
            for rule in served if methods else ():
                paths = meeting(claim.pattern, rule.config.path)
                if paths is not None:
                    report.note(
                        f"{rule.owner}: the route {' '.join(methods)} {claim.pattern} ({claim.rule.owner}) goes before "
                        f"the signal {rule.config.path}: at the endpoint {endpoint.name}, {paths} is the route's"
                    )


def _check_arrival(config: ServerConfig, endpoint: EndpointConfig, rule: SignalRule, report: PlanReport) -> None:
    signal = rule.config
    key = "connected" if signal.connected else "disconnected"
    takes = rule.reaction != RELAY or signal.rebroadcast is not Rebroadcast.NONE
    if takes and (signal.connected or signal.disconnected):
        place = config.source.place((*endpoint.keys, "fallbacks"))
        others = [each.name for each in config.endpoints if each.signals and not each.fallbacks]
        report.problem(
            (*signal.keys, key),
            f"at the endpoint {endpoint.name} ({place}) a POST sends a message without connecting, so past this; name "
            f"the endpoints of this signal{f', as in endpoint: {others[0]}' if others else ''}, or let it take no "
            "messages (rebroadcast: none)",
            of_key=True,
        )

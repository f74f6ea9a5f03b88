"""What a plan's histories keep, and what is sent past them."""

from collections.abc import Iterator

from signalpost.config.actions import all_steps
from signalpost.config.model import Rebroadcast, RequestedTarget, ServerConfig, SignalConfig, StepConfig
from signalpost.paths import PathPattern, split_path
from signalpost.plan.report import PlanReport
from signalpost.templates.compiler import is_template
from signalpost.units import format_size

_MANY = 1_000  # values that are kept of one path: with fewer, the largest message is not what people count with


def check_histories(config: ServerConfig, report: PlanReport, *, has_handlers: bool) -> None:
    """Report histories that keep nothing of what their own list sends; note those that nothing sends to.

    Args:
        config: of the app.
        report: receives problems and notes.
        has_handlers: whether plugins' code runs, which may send anything.
    """
    sent_to = list(_paths(config))
    for signal in config.signals:
        if signal.history is None:
            continue
        keys = (*signal.keys, "history")
        place = config.source.place(keys)
        past = list(_past(signal.do))
        if past and not any("path" in _options(step) for step in all_steps(signal.do)):
            report.problem(
                (*past[0].keys, past[0].name),
                "without path this goes where the client asks, or to everyone, and history keeps what is sent to a "
                f'path ({place}); add path: "{{{{ path }}}}"',
                of_key=True,
            )
        elif not (has_handlers or past or _relays(signal) or any(_meets(signal.path, path) for path in sent_to)):
            report.note(f"{place}: nothing is ever sent to {signal.path} as a whole, so its history stays empty")
        most = signal.history.keep * config.limits.message
        if signal.history.keep >= _MANY and most > config.history.limit:
            report.note(
                f"{place}: {signal.history.keep:,} values of up to {format_size(config.limits.message)} can be more "
                f"than history.limit ({format_size(config.history.limit)}): the oldest of the largest path go first"
            )


def _options(step: StepConfig) -> dict[str, object]:
    return step.options if step.name == "broadcast" and isinstance(step.options, dict) else {}


def _past(steps: tuple[StepConfig, ...]) -> Iterator[StepConfig]:
    """Yield the broadcasts of a list that go to no path, and not to a group, a client or a user alone."""
    for step in all_steps(steps):
        options = _options(step)
        if options and not {"path", "group", "client", "user"} & options.keys() and options.get("to") != "sender":
            yield step


def _relays(signal: SignalConfig) -> bool:
    """Return whether clients' messages are sent to the path by themselves, or as they ask."""
    if signal.do:
        return False
    return signal.rebroadcast is Rebroadcast.PATH or RequestedTarget.PATH in signal.targets


def _paths(config: ServerConfig) -> Iterator[str | None]:
    """Yield the paths that steps send to, and that clients may ask for; None is any path."""
    lists = (
        *(part.do for part in config.parts),
        *(steps for signal in config.signals for steps in (signal.connected, signal.disconnected)),
    )
    for steps in lists:
        for step in all_steps(steps):
            options = _options(step)
            path = options.get("path")
            if isinstance(path, str) and not {"group", "client", "user"} & options.keys():
                yield None if is_template(path) else path
    if any(RequestedTarget.PATH in signal.targets and not signal.do for signal in config.signals):
        yield None
    if not config.undeclared_refused:
        yield None


def _meets(pattern: PathPattern, path: str | None) -> bool:
    return path is None or ((segments := split_path(path)) is not None and pattern.match(segments) is not None)

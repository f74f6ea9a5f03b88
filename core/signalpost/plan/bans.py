"""A note on bans and revocations that no file keeps."""

from signalpost.config.actions import all_steps
from signalpost.config.model import ServerConfig, SignalConfig
from signalpost.plan.report import PlanReport

_LASTING = {"ban": "bans", "revoke": "revocations"}


def note_bans(config: ServerConfig, report: PlanReport) -> None:
    """Note the first step that bans or revokes, if there is no file of the state that keeps it over a restart.

    Args:
        config: what routes.yaml says.
        report: receives the note.
    """
    if config.state.file is not None:
        return
    for part in config.parts:
        lists = (part.do, part.connected, part.disconnected) if isinstance(part, SignalConfig) else (part.do,)
        for step in (step for steps in lists for step in all_steps(steps)):
            if step.name in _LASTING:
                place = config.source.place((*step.keys, step.name))
                report.note(f"{place}: {_LASTING[step.name]} end when the server stops; state: {{file: …}} keeps them")
                return

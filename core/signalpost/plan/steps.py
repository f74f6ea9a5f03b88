"""Compiles the lists of actions of routes.yaml."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from signalpost.actions import effects
from signalpost.actions.program import Program
from signalpost.actions.steps import Leaf, Step
from signalpost.config.model import Keys, StepConfig
from signalpost.plan.resolver import Resolver
from signalpost.plugins.assembly import nearest


def compile_steps(resolver: Resolver, configs: tuple[StepConfig, ...]) -> Program | None:
    """Compile a list of actions; what is wrong with it is reported. None if there is none."""
    return Program(configs, tuple(_compile(resolver, configs))) if configs else None


def _compile(resolver: Resolver, configs: Sequence[StepConfig]) -> Iterator[Step]:
    for config in configs:
        compiler = _COMPILERS.get(config.name)
        if compiler is None:
            text = f'no action named "{config.name}"{nearest(config.name, _COMPILERS)}'
            resolver.findings.problem((*config.keys, config.name), text, of_key=True)
        else:
            yield compiler(resolver, config)


def _where(resolver: Resolver, keys: Keys) -> str:
    problem = resolver.config.source.problem(keys, "")
    return f"{problem.file}:{problem.line}:{problem.column}"


def _broadcast(resolver: Resolver, config: StepConfig) -> Step:
    return Leaf(config.name, _where(resolver, config.keys), config.options, effects.broadcast)


_COMPILERS: Mapping[str, Callable[[Resolver, StepConfig], Step]] = {
    "broadcast": _broadcast,
}

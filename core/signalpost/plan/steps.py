"""Compiles the lists of actions of routes.yaml."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence

from signalpost.actions import effects
from signalpost.actions.program import Program
from signalpost.actions.steps import Leaf, Step
from signalpost.config.model import Keys, StepConfig
from signalpost.plan.pluginsteps import effect_of, misfits_of
from signalpost.plan.resolver import Resolver
from signalpost.plugins.action import Action
from signalpost.plugins.assembly import nearest


def compile_steps(resolver: Resolver, configs: tuple[StepConfig, ...]) -> Program | None:
    """Compile a list of actions; what is wrong with it is reported. None if there is none."""
    if not configs:
        return None
    steps = tuple(_compile(resolver, configs))
    return Program(configs, steps, waits=any(inspect.iscoroutinefunction(step.effect) for step in steps))


def _compile(resolver: Resolver, configs: Sequence[StepConfig]) -> Iterator[Step]:
    for config in configs:
        compiler = _COMPILERS.get(config.name)
        if compiler is not None:
            yield compiler(resolver, config)
        elif (action := resolver.registry.actions.get(config.name)) is not None:
            yield _plugin_step(resolver, config, action)
        elif config.name not in resolver.registry.faulty and not resolver.doubts.plugins:
            known = (*_COMPILERS, *resolver.registry.actions)
            text = f'no action named "{config.name}"{nearest(config.name, known)}'
            resolver.findings.problem((*config.keys, config.name), text, of_key=True)


def _where(resolver: Resolver, keys: Keys) -> str:
    problem = resolver.config.source.problem(keys, "")
    return f"{problem.file}:{problem.line}:{problem.column}"


def _broadcast(resolver: Resolver, config: StepConfig) -> Step:
    return Leaf(config.name, _where(resolver, config.keys), config.options, effects.broadcast)


def _plugin_step(resolver: Resolver, config: StepConfig, action: Action) -> Step:
    for misfit in misfits_of(config, action):
        keys = (*config.keys, config.name, *misfit.keys)
        resolver.findings.problem(keys, f"{misfit.text} (says plugin {action.plugin})", of_key=misfit.of_key)
    where = _where(resolver, config.keys)
    return Leaf(config.name, where, config.options, effect_of(action, config.options))


_COMPILERS: Mapping[str, Callable[[Resolver, StepConfig], Step]] = {
    "broadcast": _broadcast,
}

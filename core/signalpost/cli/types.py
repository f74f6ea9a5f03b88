"""``signalpost types``: what each signal takes and sends, as TypeScript."""

from pathlib import Path

from signalpost.cli.contract import SignalContract, contracts
from signalpost.jsonschemas.references import Part
from signalpost.jsonschemas.typescript import OBJECTS, UNKNOWN, Translator, Type, braces, indented, key_text, union
from signalpost.paths import ParameterType
from signalpost.plan import Plan

_OF_PARAMETER = {ParameterType.INT: "number"}


def types_text(plan: Plan) -> str:
    """Return the interface ``Signals`` of an app, and the types that it needs, as the text of a module."""
    translator = Translator(("Signals",))
    signals: dict[str, list[SignalContract]] = {}
    for each in contracts(plan, translator.names, {}):
        signals.setdefault(each.path, []).append(each)
    fields = "".join(f"{key_text(path)}: {_signal(each, translator)};\n" for path, each in signals.items())
    declarations = "".join(f"\n{each}" for each in translator.declarations())
    return (
        f"// Made by `signalpost types` from {Path(plan.config.file).name}. Change that file, not this one.\n\n"
        "/** What clients send and read on each signal, by the path that it declares. */\n"
        f"export interface Signals {{\n{indented(fields)}}}\n{declarations}"
    )


def _signal(contracts_: list[SignalContract], translator: Translator) -> str:
    """Return the type of what has one path; several signals may have it, each at endpoints of its own."""
    parameters = contracts_[0].rule.config.path.parameters
    params = braces([f"{each.name}: {_OF_PARAMETER.get(each.type, 'string')}" for each in parameters])
    sends = union(_message(each.message, translator) for each in contracts_)
    receives = union(UNKNOWN if each.reads is None else translator.translate(each.reads) for each in contracts_)
    inner = f"params: {params};\nsends: {sends.text};\nreceives: {receives.text};\n"
    return f"{{\n{indented(inner)}}}"


def _message(message: Part | None, translator: Translator) -> Type:
    return UNKNOWN if message is None else translator.translate(message, OBJECTS)

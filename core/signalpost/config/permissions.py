"""The key ``may`` of signals and routes: who may do what."""

from signalpost.config.actions import has_template, is_whole
from signalpost.config.authmodel import SIGNAL_VERBS, ChoiceConfig, MayWord, PermissionConfig, Permissions
from signalpost.config.section import Section
from signalpost.places import Keys
from signalpost.words import among, quoted

_WORDS = tuple(word.value for word in MayWord)


def read_signal_may(signal: Section) -> Permissions:
    """Read who may do what at a signal."""
    section = signal.section("may")
    if section is None:
        return {}
    read = {verb: read_permission(section, verb.value) for verb in SIGNAL_VERBS}
    return {verb: permission for verb, permission in read.items() if permission is not None}


def read_permission(section: Section, name: str) -> PermissionConfig | None:
    """Read who may do something; None if the key is not given, or cannot be read."""
    texts = section.texts(name)
    choices = tuple(_read_choice(section, keys, text) for keys, text in texts)
    sound = tuple(choice for choice in choices if choice is not None)
    if not texts or len(sound) < len(choices):
        return None
    if len(sound) > 1:
        _check_list(section, sound)
    return PermissionConfig((*section.keys, name), sound)


def _read_choice(section: Section, keys: Keys, text: str) -> ChoiceConfig | None:
    if text in _WORDS:
        return ChoiceConfig(keys, MayWord(text))
    if is_whole(text):
        return ChoiceConfig(keys, expression=text)
    if has_template(text):
        said = "who may is one expression and nothing else, as in \"{{ 'editor' in claims.roles }}\""
        section.report.add(keys, f"{said}, not {quoted(text)}")
    else:
        said = f"nobody is named {quoted(text)} here{among(text, _WORDS)}"
        section.report.add(keys, f"{said}; an expression stands in braces, as in \"{{{{ user == 'ann' }}}}\"")
    return None


def _check_list(section: Section, choices: tuple[ChoiceConfig, ...]) -> None:
    """Report words that make the rest of a list meaningless, or that mean nothing in one."""
    for choice in choices:
        if choice.word is MayWord.ANYONE:
            section.report.add(choice.keys, "anyone may, so the others in this list mean nothing: leave them out")
        elif choice.word is MayWord.NOBODY:
            section.report.add(choice.keys, "of a list, any may do, so nobody adds nothing: leave it out")

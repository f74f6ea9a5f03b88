"""What is wrong with the text of a file, and how far reading can go on after it."""

from dataclasses import dataclass

from signalpost.places import Keys
from signalpost.yaml.masks import MASK
from signalpost.yaml.nodes import Span

_UNSAID = "what stands here cannot be used: quote it if it is text, and write $${ for a plain ${ in it"


@dataclass(frozen=True, slots=True)
class TextProblem:
    """Something wrong with the text, before anyone asks what it means.

    Attributes:
        text: what is wrong; ``{earlier}`` and ``{echo}`` in it stand for what the other two attributes say.
        keys: the path to it; empty where no path can be named.
        earlier: a place that `text` speaks of.
        echo: a piece of the file that `text` repeats, which is not shown of a file of secrets.

    """

    span: Span
    text: str
    keys: Keys = ()
    earlier: Span | None = None
    echo: str = ""

    def words(self, earlier: str, *, masked: bool = False) -> str:
        """Return `text` with the name of the earlier place and, unless it is `masked`, with the echo."""
        if masked and self.text == "{echo}":
            return _UNSAID
        return self.text.replace("{earlier}", earlier).replace("{echo}", MASK if masked else self.echo)


class StopReadingError(Exception):
    """The rest of a file is not worth reading."""

    def __init__(self, fault: TextProblem) -> None:
        self.fault = fault
        super().__init__(fault.text)


class TooMuchError(StopReadingError):
    """There is more than is read, in this file or in all of them: the others are not read on, either."""

"""Problems in the text of a file, and how far reading can continue after them."""

from dataclasses import dataclass

from signalpost.places import Keys
from signalpost.yaml.masks import MASK
from signalpost.yaml.nodes import Span

_UNSAID = "what stands here cannot be used: quote it if it is text, and write $${ for a plain ${ in it"


@dataclass(frozen=True, slots=True)
class TextProblem:
    """A problem in the text, before its meaning is checked.

    Attributes:
        text: what is wrong; ``{earlier}`` and ``{echo}`` in it stand for the other two attributes.
        keys: the path to it; empty if it has no path.
        earlier: a place that `text` refers to.
        echo: a piece of the file that `text` repeats; not shown for a file of secrets.
    """

    span: Span
    text: str
    keys: Keys = ()
    earlier: Span | None = None
    echo: str = ""

    def words(self, earlier: str, *, masked: bool = False) -> str:
        """Return `text` with the name of the earlier place and, unless `masked`, with the echo."""
        if masked and self.text == "{echo}":
            return _UNSAID
        return self.text.replace("{earlier}", earlier).replace("{echo}", MASK if masked else self.echo)


class StopReadingError(Exception):
    """The rest of a file cannot be read."""

    def __init__(self, fault: TextProblem) -> None:
        self.fault = fault
        super().__init__(fault.text)


class TooMuchError(StopReadingError):
    """There is more than may be read, in this file or in all of them: the other files are not read either."""

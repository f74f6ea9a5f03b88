"""The names of keys and channels in a Redis that several apps may share."""

from functools import lru_cache
from typing import NamedTuple


class ChannelKeys(NamedTuple):
    """The names that belong to a channel. Those of keys share a hash tag, so that a cluster has them in one place.

    Attributes:
        head: a hash.
        entries: a stream.
        published: the channel of PUBLISH.
    """

    head: bytes
    entries: bytes
    published: bytes


class Keys:
    """All names, which begin with that of the app.

    Args:
        name: of the app.
        database: its number. Keys are apart in each database, but PUBLISH reaches all of them: the name of the channel
            has the number.
    """

    def __init__(self, name: str, database: int) -> None:
        self._name = name
        self.prefix = raw(f"{name}:{database}:")
        self.channel = lru_cache(maxsize=4096)(self._channel)

    def _channel(self, channel: str) -> ChannelKeys:
        tag = f"{{{self._name}:{channel}}}"
        return ChannelKeys(raw(f"{tag}:m"), raw(f"{tag}:h"), self.published(channel))

    def published(self, channel: str) -> bytes:
        """Return the channel of PUBLISH."""
        return self.prefix + raw(channel)

    def once(self, channel: str, key: str) -> bytes:
        """Return the key by which a repeat is known again."""
        return raw(f"{{{self._name}:{channel}}}:o:{key}")

    def table(self, table: str) -> bytes:
        """Return the key of a table."""
        return raw(f"{self._name}:t:{table}")

    def lease(self, lease: str) -> bytes:
        """Return the key of a lease."""
        return raw(f"{self._name}:l:{lease}")


def raw(text: str) -> bytes:
    """Return the bytes of a text; a half of a surrogate pair, which is no character, is one too."""
    return text.encode("utf-8", "surrogatepass")


def text_of(data: bytes) -> str:
    """Return the text that `raw` made these bytes of."""
    return data.decode("utf-8", "surrogatepass")

"""Connecting to Redis: redis-py reaches it, negotiates TLS, authenticates and selects the database."""

import asyncio
from asyncio import StreamReader, StreamWriter

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from signalpost.backplanes.redisaddress import Address
from signalpost.backplanes.rediserrors import error_of_connecting


class _Given:
    """Added to connections of redis-py: what is connected can be taken away."""

    _reader: StreamReader | None
    _writer: StreamWriter | None

    def take(self) -> StreamWriter:
        """Return the connected stream; this connection has none any more."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            raise ConnectionError("the connection has ended already")
        return writer


class _Tcp(_Given, Connection):
    pass


class _Tls(_Given, SSLConnection):
    pass


class _Unix(_Given, UnixDomainSocketConnection):
    pass


_KINDS: dict[str, type[_Tcp | _Tls | _Unix]] = {"redis": _Tcp, "rediss": _Tls, "unix": _Unix}


async def dial(address: Address, seconds: float) -> StreamWriter:
    """Return a connected stream, on which nothing is under way.

    Args:
        address: of the server.
        seconds: that it may take.

    Raises:
        AwayError: the server is not there, or cannot do anything yet.
        RefusedError: it is there, and will not serve this node, or it is none.
    """
    connection = _KINDS[address.scheme](
        **address.options,
        db=address.database,
        protocol=2,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        socket_read_size=65_536,
        driver_info=None,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        async with asyncio.timeout(seconds):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there
            await connection.send_command("PING")  # without a password, nothing was asked yet
            await connection.read_response()
        return connection.take()
    except (RedisError, OSError) as error:
        raise error_of_connecting(error, address) from None
    finally:
        await connection.disconnect(nowait=True)

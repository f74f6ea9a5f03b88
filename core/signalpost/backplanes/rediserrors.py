"""What Redis says when it does not do what it is asked: for people, and whether it is worth another try."""

import re
import ssl

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from signalpost.backplanes.backplane import AwayError, RefusedError
from signalpost.backplanes.redisaddress import FORMS, Address
from signalpost.words import cut, printable

RIGHTS = (
    "~{NAME:* ~NAME:* &NAME:* +@connection +@scripting +@pubsub +@hash +@stream +@string +@keyspace +time -@dangerous"
)
"""What a user of Redis must be allowed, as ACL SETUSER has it, for an app with a name."""

_AWAY = {
    "BUSY": "is busy with a script of somebody",
    "CLUSTERDOWN": "is part of a cluster that is down",
    "LOADING": "is loading its data",
    "MASTERDOWN": "is a replica that has lost its master",
    "NOSCRIPT": "has forgotten the scripts of signalpost, which it gets again with a new connection",
    "READONLY": "is a replica now; another one has become the master",
    "TRYAGAIN": "is moving its keys to another server",
}
_REFUSED = {
    "DENIED": "takes no connections from elsewhere, since it has no password (protected-mode)",
    "MISCONF": "writes nothing, since it could not save its data to disk; its log says why",
    "MOVED": "is part of a Redis Cluster, which signalpost cannot use; it needs one server, with replicas if you like",
    "NOAUTH": "wants a password, and the address has none: {form}",
    "NOPERM": "does not allow it to this user: {text}; what it needs is {rights}",
    "NOREPLICAS": "writes nothing, since too few of its replicas are there (min-replicas-to-write)",
    "OOM": "has no memory left (maxmemory); give it more, or keep less (`history` of the signals)",
    "WRONGTYPE": "has other data under a key that belongs to signalpost; give each app a name of its own",
}
_CODE = re.compile(r"-?([A-Z]{2,}) ")
_LEVEL_BELOW = re.compile(r": -([A-Z]{2,}) ")  # before Redis 7, an error in a script stands within another one
_NO_RIGHT = re.compile(r"user executing the script can't run|ACL failure in script")
_TOO_MANY = "max number of clients reached"
_LONGEST = 200  # characters of a server's text


def error_of_reply(text: str, address: Address) -> AwayError | RefusedError:
    """Return what an error reply means.

    Args:
        text: of the server: ``OOM command not allowed …``.
        address: of the server.
    """
    found = _LEVEL_BELOW.search(text) or _CODE.match(text)
    code = "NOPERM" if _NO_RIGHT.search(text) else found[1] if found else ""
    if code in _AWAY:
        return AwayError(f"{address} {_AWAY[code]}")
    told = cut(printable(address.masked(text).partition("\n")[0]), _LONGEST)
    unknown = "does not know a command that signalpost needs, which is of Redis 6.2 or Valkey: {text}"
    words = _REFUSED.get(code) or (unknown if "unknown command" in text else "refuses it: {text}")
    return RefusedError(f"{address} {words.format(text=told, form=FORMS, rights=RIGHTS)}")


def error_of_connecting(error: Exception, address: Address) -> AwayError | RefusedError:
    """Return what it means that redis-py could not connect.

    Args:
        error: that it raised.
        address: of the server.
    """
    cause = error.__context__ if isinstance(error, RedisConnectionError) else error
    if isinstance(cause, OSError):
        return _error_of_network(cause, address)
    told = cut(printable(address.masked(str(error)).partition("\n")[0]), _LONGEST)
    match error:
        case InvalidResponse():
            return RefusedError(f"{address} is no Redis: {told}")
        case BusyLoadingError():
            return AwayError(f"{address} {_AWAY['LOADING']}")
        case NoPermissionError():
            return error_of_reply(f"NOPERM {told}", address)
        case AuthenticationError() if "password" not in address.options:
            return error_of_reply(f"NOAUTH {told}", address)
        case AuthenticationError():
            return RefusedError(f"{address} does not know this user or password: {told}")
        case ResponseError():
            return error_of_reply(str(error), address)
    return _unreached(told, address)


def _error_of_network(error: OSError, address: Address) -> AwayError | RefusedError:
    match error:
        case ssl.SSLCertVerificationError():
            return RefusedError(
                f"{address} has a certificate that cannot be trusted: {error.verify_message}; the environment variable "
                f"SSL_CERT_FILE names a file with the certificate of who has signed it"
            )
        case ssl.SSLError():
            return RefusedError(f"{address} could not agree on TLS ({error.reason}); without TLS it is redis://")
        case PermissionError():
            return RefusedError(f"{address} may not be used by the user that signalpost runs as")
    return _unreached(error.strerror or str(error), address)


def _unreached(text: str, address: Address) -> AwayError:
    if _TOO_MANY in text:
        return AwayError(f"{address} has as many clients as it takes (maxclients)")
    guess = ""
    if address.scheme == "rediss" and not text:
        guess = "; does it speak TLS?"
    elif address.scheme == "redis" and ("closed" in text or "reset" in text):
        guess = "; does it want TLS (rediss://)?"
    return AwayError(f"{address} cannot be reached: {text or 'it does not answer'}{guess}")

"""Sign-in: who knows a name and its password gets a token in a cookie. `python plugins/signin.py` hashes a password."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from getpass import getpass
from typing import Any

import jwt
from sanic.response import JSONResponse

from signalpost import RouteEvent, hookimpl, route

COOKIE = "signin"  # as auth.cookie in routes.yaml
LASTS = 12 * 3600  # seconds, of a token and of its cookie
# What OWASP's Password Storage Cheat Sheet asks of scrypt (RFC 7914): 16 MiB, and some tenths of a second.
COST = {"n": 2**14, "r": 8, "p": 5}
NOBODY = {"password": f"scrypt${'00' * 16}$", "roles": ()}  # no password has an empty hash
ONE_AT_A_TIME = asyncio.Lock()


def hashed(password: str, salt: bytes) -> str:
    """Return what settings hold of a password."""
    return f"scrypt${salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **COST).hex()}"


def _is_right(password: str, stored: str) -> bool:
    return hmac.compare_digest(hashed(password, bytes.fromhex(stored.split("$")[1])), stored)


@route("signin")
async def signin(event: RouteEvent) -> JSONResponse:
    """Sign in who knows the password. A name that nobody has takes as long as a wrong password."""
    name, password = event.request.json["name"], event.request.json["password"]
    person = event.settings["people"].get(name, NOBODY)
    async with ONE_AT_A_TIME:
        right = await asyncio.to_thread(_is_right, password, person["password"])
    if not right:
        wrong = {"code": "unauthorized", "detail": "This is not the password of this name."}
        return JSONResponse({"error": wrong}, status=401)
    now, roles = int(time.time()), list(person["roles"])
    claims = {"iss": "signin", "aud": "signin", "sub": name, "roles": roles, "jti": secrets.token_hex(16)}
    token = jwt.encode({**claims, "iat": now, "exp": now + LASTS}, event.settings["secret"], "HS256")
    answer = JSONResponse({"user": name, "roles": roles})
    answer.add_cookie(COOKIE, token, max_age=LASTS, **_attributes(event))
    return answer


@route("signout")
async def signout(event: RouteEvent) -> JSONResponse:
    """Take the cookie away, and revoke its token, so that other tabs end as well and a copy is worth nothing."""
    if event.identity.token_id:
        event.context.revoke(token_id=event.identity.token_id)
    answer = JSONResponse({"user": None, "roles": []})
    answer.add_cookie(COOKIE, "", max_age=0, **_attributes(event))
    return answer


def _attributes(event: RouteEvent) -> dict[str, Any]:
    """Return what keeps a cookie from scripts, from pages of other sites, and from lines that are not encrypted."""
    return {"path": "/", "httponly": True, "samesite": "Lax", "secure": event.request.scheme == "https"}


@hookimpl
def settings_schema() -> Mapping[str, Any]:
    """Say what routes.yaml may set, so that `signalpost check` finds what is misspelt."""
    roles = {"description": "Of the token, for `may`.", "type": "array", "items": {"type": "string"}}
    password = {"description": "As python plugins/signin.py prints it.", "type": "string", "pattern": r"^scrypt\$"}
    person = {"type": "object", "required": ["password", "roles"], "additionalProperties": False}
    person["properties"] = {"password": password, "roles": roles}
    people = {"description": "Who may sign in, by name.", "type": "object", "additionalProperties": person}
    secret = {"description": "The one of auth.tokens.keys.", "type": "string", "minLength": 32}
    settings = {"secret": secret, "people": people}
    return {"type": "object", "required": list(settings), "additionalProperties": False, "properties": settings}


if __name__ == "__main__":
    print(hashed(getpass("Password: "), secrets.token_bytes(16)))

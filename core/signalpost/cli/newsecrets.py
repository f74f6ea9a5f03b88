"""Secrets of a new app: made for it alone, so that no two apps have the same ones."""

import re
import secrets
from collections.abc import Callable

Passwords = dict[str, str]
"""Passwords by the name of who has them."""

_PLACE = re.compile(r"^(?P<name>\w+): \$(?P<kind>random|password)$", re.MULTILINE)
_BYTES = 32  # of a random text; HS256 needs as many (RFC 7518 section 3.2)
_SALT_BYTES = 16
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that look alike
_GROUPS, _LENGTH = 4, 4  # 79 bits, and easily typed


def fill(template: str, hashed: Callable[[str, bytes], str]) -> tuple[str, Passwords]:
    """Return the text of a file of secrets, and the passwords whose hashes are in it.

    Args:
        template: YAML in which ``NAME: $random`` stands for a random text, and ``NAME: $password`` for the hash of a
            password of NAME.
        hashed: returns what the app keeps of a password, with a salt.
    """
    passwords: Passwords = {}

    def made(place: re.Match[str]) -> str:
        name = place["name"]
        if place["kind"] == "random":
            return f'{name}: "{secrets.token_urlsafe(_BYTES)}"'
        passwords[name] = _password()
        return f"{name}: {hashed(passwords[name], secrets.token_bytes(_SALT_BYTES))}"

    return _PLACE.sub(made, template), passwords


def _password() -> str:
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(_GROUPS))

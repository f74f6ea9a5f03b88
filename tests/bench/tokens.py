"""What a token costs: seen for the first time, remembered, and refused, by algorithm; all in one process.

::

    python tests/bench/tokens.py                 # a table, in about fifteen seconds
    python tests/bench/tokens.py --rounds 9

Microseconds of this thread's CPU for a token. A round measures everything once, and the table has the median of the
rounds with the lowest and the highest. The ratio is of the same round. ``digest`` is SHA-256 of the token, the least
that a memory of digests can cost; ``PyJWT alone`` is its check of the signature, without ours of header and claims.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWS

from signalpost.auth.claims import TokenError
from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import Tokens
from signalpost.config.authmodel import TokensConfig
from signalpost.jose.keys import VerificationKey, fitting, secret_key
from signalpost.jose.keyset import read_keys

NOW = 1_800_000_000.0
SECRET = b"mCVKTCk6jGWhXVjmgyRWVlBXl4CqjJ5q2n4Zk0xo1m3F"
TOKENS = 500  # different ones, each seen once a round
REPEATS = 20  # of each remembered one, a round


@dataclass(frozen=True)
class Case:
    """An algorithm with its key, and tokens that it has signed."""

    algorithm: str
    key: VerificationKey
    texts: Sequence[str]
    foreign: Sequence[str]


def signed(algorithm: str, key: Any, count: int) -> list[str]:
    """Return tokens as a login server makes them, each different."""
    jws = PyJWS()
    claims = {"iss": "https://id.example.com", "aud": "signalpost", "sub": "ann", "exp": NOW + 900, "iat": NOW}
    more = {"name": "Ann Lee", "rooms": ["blue", "red"], "roles": ["editor"]}
    texts = (json.dumps({**claims, **more, "jti": f"{number:032x}"}).encode() for number in range(count))
    return [jws.encode(text, key, algorithm) for text in texts]


def cases() -> list[Case]:
    """Make keys and tokens."""
    made: dict[str, Callable[[], Any]] = {
        "HS256": lambda: SECRET,
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
    }
    found = []
    for algorithm, make in made.items():
        key = make()
        other = b"x" * 64 if algorithm == "HS256" else make()
        found.append(
            Case(algorithm, _public(algorithm, key), signed(algorithm, key, TOKENS), signed(algorithm, other, TOKENS))
        )
    return found


def _public(algorithm: str, key: Any) -> VerificationKey:
    if algorithm == "HS256":
        return secret_key(key)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return read_keys(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).keys[0]


def cost(work: Callable[[str], object], texts: Sequence[str]) -> float:
    """Return the microseconds of CPU for one of the texts."""
    begin = time.thread_time_ns()
    for text in texts:
        work(text)
    return (time.thread_time_ns() - begin) / 1_000 / len(texts)


def measure(case: Case) -> dict[str, float]:
    """Measure a case once."""
    config = TokensConfig(
        (case.algorithm,),
        fitting([case.key], (case.algorithm,)),
        issuers=("https://id.example.com",),
        audiences=("signalpost",),
    )
    tokens = Tokens(config, Keyring(config.keys), lambda: NOW)
    jws, verify = PyJWS(), tokens.verify
    once, often = case.texts, [*case.texts] * REPEATS
    return {
        "first sight": cost(verify, once),
        "remembered": cost(verify, often),
        "refused": cost(lambda text: refused(verify, text), case.foreign),
        "PyJWT alone": cost(lambda text: jws.decode_complete(text, case.key.material, [case.algorithm]), once),
        "digest": cost(lambda text: sha256(text.encode()).digest(), often),
    }


def refused(verify: Callable[[str], object], text: str) -> None:
    """Judge a token that is not good."""
    try:
        verify(text)
    except TokenError:
        return
    raise AssertionError("a foreign token is good")


def shown(values: Sequence[float]) -> str:
    """Return the median of the rounds with the lowest and the highest."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = max(parser.parse_args().rounds, 1)
    print("| algorithm | first sight | remembered | first : remembered | refused | PyJWT alone | digest |")
    print("|---|---|---|---|---|---|---|")
    for case in cases():
        measure(case)  # a warm-up
        found = [measure(case) for _ in range(rounds)]
        by_name = {name: [each[name] for each in found] for name in found[0]}
        ratio = [each["first sight"] / each["remembered"] for each in found]
        cells = [shown(by_name["first sight"]), shown(by_name["remembered"]), shown(ratio)]
        cells += [shown(by_name[name]) for name in ("refused", "PyJWT alone", "digest")]
        print(f"| {case.algorithm} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

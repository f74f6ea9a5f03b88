"""Generated tokens, judged by another library (joserfc) as well: both must come to the same verdict on each."""

import random
import warnings
from dataclasses import replace

import pytest
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import Tokens
from signalpost.config.authmodel import TokensConfig
from signalpost.errors import UnauthorizedError
from signalpost.jose.algorithms import KINDS

NOW = 1_800_000_000
LEEWAY = 10
KINDS_OF_KEYS = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
TIMES = [NOW, NOW - 1, NOW + 1, NOW - 9, NOW - 10, NOW - 11, NOW + 10, NOW + 11, NOW + 60, NOW - 60, NOW + 0.5, 0]
NO_TIMES = [None, "", str(NOW + 60), True, False, [], {}, "soon"]
CLAIMS = {
    "exp": ([NOW + 60] * 8 + TIMES, NO_TIMES),
    "nbf": (TIMES, NO_TIMES),
    "iat": (TIMES, NO_TIMES),
    "iss": (["https://a", "https://b", "https://a/", "HTTPS://A", "", "a"], [None, 1, ["https://a"], {}]),
    "aud": (["s", "t", "S", ["s"], ["t", "s"], ["x"], [], "", ["s", "x"]], [None, 1, [1], ["s", 1], {"s": 1}]),
    "sub": (["ann", "x" * 255, "김", " "], [None, "", 1, [], ["ann"], True]),
    "jti": (["a", "b"], [1, [], {}, True]),
}
GOOD = {"exp": NOW + 60, "iss": "https://a", "aud": "s", "sub": "ann"}


class Oracle:
    """What joserfc says, told the same rules."""

    def __init__(self, keys, config):
        self._config = config
        names = [name for name in KINDS if not name.startswith("HS")]
        made = [keys.jwk(name, kid=_kid(name)) for name in names if _kid(name) == name]
        found = [KINDS_OF_KEYS[jwk["kty"]].import_key(jwk) for jwk in made]
        self._keys = KeySet([*found, OctKey.import_key(keys.private["HS256"], {"kid": "secret"})])
        self._registry = JWSRegistry(algorithms=config.algorithms, strict_check_header=False)
        rules = {
            "iss": {"essential": True, "values": list(config.issuers)},
            "aud": {"essential": True, "values": list(config.audiences)},
            "sub": {"essential": True},
            "exp": {"essential": not config.lasting},
        }
        self._rules = jwt.JWTClaimsRegistry(now=NOW, leeway=int(config.leeway), **rules)

    def takes(self, token):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            try:
                found = jwt.decode(token, self._keys, self._config.algorithms, self._registry)
                self._rules.validate(found.claims)
            except (JoseError, ValueError, TypeError):
                return False
        return True


def _kid(algorithm):
    if algorithm.startswith("HS"):
        return "secret"
    return "RS256" if algorithm[:2] in ("RS", "PS") else algorithm


def generated(count, keys, raw_token):
    """Yield tokens: most are good but for one or two of their parts."""
    chance = random.Random(7)
    for _ in range(count):
        # RSA signs in a millisecond, the others in a tenth of one.
        algorithm = chance.choice(list(KINDS) if chance.random() < 0.3 else ["HS256", "HS512", "ES256", "EdDSA"])
        claims = dict(GOOD)
        for _ in range(chance.choice([0, 1, 1, 2])):
            name = chance.choice(list(CLAIMS))
            usual, strange = CLAIMS[name]
            claims[name] = chance.choice(usual if chance.random() < 0.8 else strange)
            if chance.random() < 0.1:
                del claims[name]
        header = {"alg": algorithm, "kid": _kid(algorithm)}
        key = keys.private[algorithm]
        match chance.choice(["fine"] * 8 + ["other key", "other alg", "other kid", "payload", "crit"]):
            case "other key":
                algorithm, key = "HS256", b"x" * 64
            case "other alg":
                header["alg"] = chance.choice([*KINDS, "none", "hs256"])
            case "other kid":
                header["kid"] = chance.choice(["secret", "ES256", "EdDSA", "RS256", "nobody"])
            case "payload":
                token = raw_token(header, claims, key, algorithm)
                head, _, signature = token.split(".")
                yield f"{head}.{raw_token(header, {**claims, 'admin': 1}, key, algorithm).split('.')[1]}.{signature}"
                continue
            case "crit":
                header |= {"crit": ["x-new"], "x-new": 1}
        yield raw_token(header, claims, key, algorithm)


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("count", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_another_library_comes_to_the_same_verdict(keys, raw_token, count, lasting):
    found = [replace(keys.verification(name), kid=_kid(name)) for name in KINDS]
    config = TokensConfig(
        tuple(KINDS),
        tuple(dict.fromkeys(found)),
        issuers=("https://a", "https://b"),
        audiences=("s", "t"),
        lasting=lasting,
    )
    tokens, oracle = Tokens(config, Keyring(config.keys), lambda: float(NOW)), Oracle(keys, config)
    verdicts = {True: 0, False: 0}
    disagreements = []
    for token in generated(count, keys, raw_token):
        try:
            ours = tokens.verify(token).user != ""
        except UnauthorizedError:
            ours = False
        verdicts[ours] += 1
        if ours is not oracle.takes(token):
            disagreements.append((ours, token))
    assert disagreements == []
    assert min(verdicts.values()) > count / 5

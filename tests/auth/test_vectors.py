"""The examples of RFC 7515 and RFC 8037, appendix A: good where they are compact and signed, else refused."""

import json

import pytest

from signalpost.auth.claims import TokenError
from signalpost.auth.keyring import Keyring
from signalpost.auth.tokens import Tokens
from signalpost.config.authmodel import TokensConfig
from signalpost.jose.keys import secret_key
from signalpost.jose.keyset import read_keys

SAID = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
CLAIMS = {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
OCT = bytes.fromhex(
    "0323354b2b0fa5bc837e0665777ba68f5ab328e6f054c928a90f84b2d2502ebf"
    "d3fb5a92d20647ef968ab4c377623d223d2e2172052e4f08c0cd9af567d080a3"
)
RSA = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR"
    "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB"
    "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia"
    "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
P256 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
P521 = {
    "kty": "EC",
    "crv": "P-521",
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
}
ED25519 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
ED25519_PRIVATE = {**ED25519, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
A1 = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{SAID}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
RS256 = (
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1d"
    "nZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwu"
    "sC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)
A2 = f"eyJhbGciOiJSUzI1NiJ9.{SAID}.{RS256}"
ES256 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
A3 = f"eyJhbGciOiJFUzI1NiJ9.{SAID}.{ES256}"
A4 = (
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0a"
    "w_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
)
A5 = f"eyJhbGciOiJub25lIn0.{SAID}."
A6 = {
    "payload": SAID,
    "signatures": [
        {"protected": "eyJhbGciOiJSUzI1NiJ9", "header": {"kid": "2010-12-29"}, "signature": RS256},
        {
            "protected": "eyJhbGciOiJFUzI1NiJ9",
            "header": {"kid": "e9bc097a-ce51-4036-9562-d2ade882db0d"},
            "signature": ES256,
        },
    ],
}
A7 = {"payload": SAID, **A6["signatures"][1]}
RFC8037 = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)


def judge(algorithm, key, now=1_300_819_379.0):
    found = (secret_key(key),) if isinstance(key, bytes) else read_keys(json.dumps(key).encode()).keys
    return Tokens(TokensConfig((algorithm,), found, user="iss"), Keyring(found), lambda: now)


@pytest.mark.parametrize(
    ("algorithm", "key", "token"), [("HS256", OCT, A1), ("RS256", RSA, A2), ("ES256", P256, A3)], ids=["A1", "A2", "A3"]
)
def test_a_signed_jwt_of_rfc_7515_is_good_until_it_expires(algorithm, key, token):
    identity = judge(algorithm, key).verify(token)
    assert (identity.user, identity.claims, identity.expires) == ("joe", CLAIMS, 1300819380)
    with pytest.raises(TokenError, match="expired 10 s ago"):
        judge(algorithm, key, now=1_300_819_390.0).verify(token)


@pytest.mark.parametrize(
    ("algorithm", "key", "token", "payload"),
    [("ES512", P521, A4, b"Payload"), ("EdDSA", ED25519, RFC8037, b"Example of Ed25519 signing")],
    ids=["RFC 7515 A4", "RFC 8037 A4"],
)
def test_a_signed_text_of_the_rfcs_has_a_good_signature_and_is_no_jwt(algorithm, key, token, payload):
    tokens = judge(algorithm, key)
    assert tokens.check_signature(token).payload == payload
    with pytest.raises(TokenError, match="is not a JWT: its payload is not JSON"):
        tokens.verify(token)


def test_a_private_key_of_rfc_8037_checks_what_its_public_half_does():
    assert read_keys(json.dumps(ED25519_PRIVATE).encode()).keys == read_keys(json.dumps(ED25519).encode()).keys


def test_an_unsecured_jws_is_refused():
    for algorithm, key in (("HS256", OCT), ("RS256", RSA), ("ES256", P256)):
        with pytest.raises(TokenError, match="is not signed"):
            judge(algorithm, key).verify(A5)


@pytest.mark.parametrize("whole", [A6, A7], ids=["A6", "A7"])
def test_the_json_serialization_is_refused(whole):
    with pytest.raises(TokenError, match="is not a JWT"):
        judge("ES256", P256).verify(json.dumps(whole))

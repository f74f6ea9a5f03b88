"""JSON Object Signing: algorithms, keys as JWK and PEM have them, and tokens in compact form. Pure.

Signatures are made and checked by PyJWT and cryptography, never here (RFC 7515, 7517, 7518, 8037, 8812).
"""

"""RFC 6455 and RFC 7692 without a socket, a loop or a setting: bytes in, frames out.

`head` reads a request's head, `handshake` and `extensions` judge and answer it, `reader` makes messages of a client's
bytes, `frames` encodes those of the server, and `deflate` compresses and inflates them.
"""

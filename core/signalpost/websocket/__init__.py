"""RFC 6455 and RFC 7692 without a socket, a loop or a setting: bytes in, frames out.

`head` parses a request's head, `handshake` and `extensions` check and answer it, `reader` turns a client's bytes into
messages, `frames` encodes those of the server, and `deflate` compresses and inflates them.
"""

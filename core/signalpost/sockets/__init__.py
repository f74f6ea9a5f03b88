"""WebSockets: the first bytes of a connection, the handshake, the connection after it, its keepalive and its end."""

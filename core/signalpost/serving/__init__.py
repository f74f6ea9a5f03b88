"""What the network sees, and the only room that imports Sanic.

Sanic accepts, parses, routes and answers plain requests (`app`, `table`, `routes`, `files`, `views`, `pages`). For a
WebSocket it does so up to the 101 (`upgrade`, `handshake`); then the transport goes to a small protocol of our own
(`connection`), which one shared timer watches (`keepalive`). `listener` puts both on a port.
"""

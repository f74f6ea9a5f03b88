"""Listening ports: sockets, TLS, the listener of each, and their changes at a reload."""

"""Listening ports: sockets, TLS, the listener of each, and what a reload changes about them."""

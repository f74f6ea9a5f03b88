"""Feeds at run time: the server as a client of other WebSocket servers."""

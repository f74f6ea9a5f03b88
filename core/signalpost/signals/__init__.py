"""Clients' messages: read, validated by a schema, decided, delivered or passed to a handler."""

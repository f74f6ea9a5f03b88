"""Plugins: their hooks, their discovery, and what they offer."""

"""The room of routes.yaml: its text becomes a `ServerConfig`, or every problem at its place."""

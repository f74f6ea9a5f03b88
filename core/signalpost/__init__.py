"""signalpost: real-time signals from one YAML file."""

__version__ = "0.1.0"

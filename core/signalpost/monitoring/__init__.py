"""Watching the server: its metrics, for Prometheus and others, and its health.

The node counts what its signals do (`signalpost.signals.counts`), and `Occurrences`, an observer, what is rare. All
else is read when somebody asks (`Readings`). Only `exposition` and `metrics` import prometheus-client, when it is used.
"""

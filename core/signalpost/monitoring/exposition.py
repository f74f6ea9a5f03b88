"""Metrics as text, in the format that the reader asks for. Only this and `metrics` import prometheus-client."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder


class _Collected(NamedTuple):
    """A registry, as the library's encoders see it."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self.metrics


def expose(metrics: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """Return metrics as text, and its media type.

    Args:
        metrics: all of a server.
        accept: the header of the request: OpenMetrics if it names that, else the text format of Prometheus.
    """
    encode, content_type = choose_encoder(accept)
    return encode(_Collected(metrics)), content_type

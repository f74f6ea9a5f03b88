"""Metrics as text, in the format that the reader asks for. Only this and `metrics` import prometheus-client."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder


class _Collected(NamedTuple):
    """A registry, as the library's encoders see it."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self.metrics


def expose(metrics: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """Return metrics and those of the process as text, and its media type.

    Args:
        metrics: all of a server.
        accept: the header of the request: OpenMetrics if it names that, else the text format of Prometheus.
    """
    encode, content_type = choose_encoder(accept)
    # Read here, in a thread: the system lists all descriptors, which takes a while where there are many.
    of_process = ProcessCollector(registry=None).collect()
    return encode(_Collected((*metrics, *of_process))), content_type

"""Prometheus: requests by service and status, how long they took, and which version of each metric is served."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where the workers of one server keep their counters; read by prometheus_client when it is imported."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counters:
    """The counters of one process; with ``PROMETHEUS_MULTIPROC_DIR``, `text` adds up those of all workers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("trodden_requests", "Requests answered", ("service", "status"), registry=self._registry)
        self.seconds = Histogram(
            "trodden_request_seconds", "Time to answer", ("service",), buckets=_BUCKETS, registry=self._registry
        )
        self.version = Gauge(
            "trodden_metric_version",
            "Version of each metric; with several workers the oldest that is still served",
            ("metric",),
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self.swaps = Counter("trodden_metric_swaps", "Metrics replaced", ("metric",), registry=self._registry)
        self.refused = Counter(
            "trodden_models_refused", "Models that came and could not be served", ("metric",), registry=self._registry
        )

    def answered(self, service: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self.requests.labels(service, str(status)).inc()
        self.seconds.labels(service).observe(seconds)

    def close(self) -> None:
        """Take this process' part out of what `text` adds up of the living ones."""
        if os.environ.get(FOLDER_VARIABLE):
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    def text(self) -> bytes:
        """All counters in Prometheus' text format."""
        if not os.environ.get(FOLDER_VARIABLE):
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

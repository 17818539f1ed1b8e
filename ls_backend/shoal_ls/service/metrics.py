"""What the backend counts, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Seconds; Label Studio waits 1 for webhooks, 3 for setup, 100 for predictions."""

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The figures of one application; nothing is shared between two of them in a process."""

    def __init__(self) -> None:
        """Begin at zero."""
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("shoal_requests", "Requests answered.", ("path", "status"), registry=registry)
        self.seconds = Histogram(
            "shoal_request_seconds", "Seconds a request.", ("path",), buckets=BUCKETS, registry=registry
        )
        self.predictions = Counter(
            "shoal_predictions", "Predictions, by where they came from: store, live, none.", ("source",), registry=registry
        )
        self.refused = Counter("shoal_live_refused", "Requests refused since too much live work waits.", registry=registry)
        self.setups = Counter("shoal_model_setups", "How often a model was loaded.", registry=registry)
        self.reloads = Counter("shoal_reloads", "How often a newer version of the run was taken.", registry=registry)
        self.events = Counter(
            "shoal_webhook_events", "Events of the webhook: new, known, ignored.", ("kind",), registry=registry
        )
        self.inbox = Gauge("shoal_inbox_events", "Events in the inbox: new, recorded, left.", ("state",), registry=registry)

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self._registry)

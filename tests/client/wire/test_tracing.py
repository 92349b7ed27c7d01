"""Spans of calls and requests."""

from __future__ import annotations

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.client.faulty import FaultyServer, abort

from iq_client import Client, LocalServer, RetryPolicy


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_requests_are_below_their_call(
    stub_server: LocalServer, exporter: InMemorySpanExporter
) -> None:
    exporter.clear()
    with (
        Client(stub_server.url, batch_size=4, tracing=True) as client,
        trace.get_tracer("test").start_as_current_span("application"),
    ):
        assert all(score.ok for score in client.score_images([b"x"] * 10))
    spans = exporter.get_finished_spans()
    requests = [span for span in spans if span.name.endswith("ModelInfer")]
    (call,) = (span for span in spans if span.name == "iq_client.score")
    (application,) = (span for span in spans if span.name == "application")
    assert call.parent is not None and call.parent.span_id == application.context.span_id
    assert call.attributes is not None and call.attributes["iq.images"] == 10
    sizes = [str((span.attributes or {})["iq.images"]) for span in requests]
    assert sorted(sizes) == ["2", "4", "4"]
    for span in requests:
        assert span.parent is not None and span.parent.span_id == call.context.span_id
        assert span.kind is trace.SpanKind.CLIENT
        assert span.status.is_ok or span.status.is_unset


def test_a_request_that_fails_says_so(faulty: FaultyServer, exporter: InMemorySpanExporter) -> None:
    exporter.clear()
    faulty.fault = abort(grpc.StatusCode.UNAVAILABLE)
    with Client(faulty.url, retry=RetryPolicy(attempts=1), tracing=True) as client:
        (score,) = client.score_images(b"x")
    assert score.error is not None and score.error.code == "UNAVAILABLE"
    last = [span for span in exporter.get_finished_spans() if span.name.endswith("ModelInfer")][-1]
    assert not last.status.is_ok
    assert last.status.description is not None and "UNAVAILABLE" in last.status.description

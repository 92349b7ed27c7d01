"""OpenTelemetry spans: one for every call, and below it one for every request.

The requests carry the span's context in their headers, so that a Triton server started with
`--trace-config mode=opentelemetry` puts its own spans below them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from iq_client.wire.protocol import INFER_METHOD, Metadata

try:
    from opentelemetry import propagate, trace
except ImportError as error:
    raise ImportError("tracing needs OpenTelemetry: pip install 'iq-client[otel]'") from error

_SPAN_NAME: Final = INFER_METHOD.strip("/")  # as OpenTelemetry's conventions for gRPC name it


class CallTrace:
    """The span of one call, below the span that is current where the call starts."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("iq_client")
        self._span = self._tracer.start_span("iq_client.score")

    @contextlib.contextmanager
    def request(self, images: int, size: int) -> Iterator[Metadata]:
        """The span of one request with all its tries.

        Args:
            images: Count of the images in it.
            size: Its bytes.

        Yields:
            Headers to send, with the span's context.
        """
        span = self._tracer.start_span(
            _SPAN_NAME,
            # Requests run on worker threads, where nothing is current.
            trace.set_span_in_context(self._span),
            kind=trace.SpanKind.CLIENT,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": _SPAN_NAME.partition("/")[0],
                "rpc.method": _SPAN_NAME.partition("/")[2],
                "iq.images": images,
                "iq.request_bytes": size,
            },
        )
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(span))
        with trace.use_span(span, end_on_exit=True):  # records an exception as the span's status
            yield tuple(headers.items())

    def end(self, images: int) -> None:
        """Ends the span of the call.

        Args:
            images: Count of the images submitted in it.
        """
        self._span.set_attribute("iq.images", images)
        self._span.end()

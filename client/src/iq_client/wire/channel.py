"""gRPC channels: options, TLS and compression."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import grpc

Compression: TypeAlias = Literal["gzip", "deflate"]

# An answer has some dozens of bytes for an image; what sends more than this is no server of ours.
MAX_ANSWER_BYTES: Final = 16 * 2**20
# Where gRPC looks for a proxy, and for the hosts that need none.
_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXIES: Final = ("no_grpc_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class TLS:
    """Certificates that secure the connection.

    Attributes:
        ca: PEM certificates that sign the server's; None for the system's.
        certificate: PEM certificate chain of this client, for mTLS.
        key: PEM private key belonging to `certificate`.
        server_name: Name in the server's certificate, where it is not the host of the URL.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("mTLS needs both: the client's certificate and its key")


def open_channel(url: str, tls: TLS | None, keepalive: float | None) -> grpc.Channel:
    """A channel, which connects on first use.

    Args:
        url: `HOST:PORT` or `dns:///NAME:PORT`.
        tls: Certificates, or None for plain text.
        keepalive: Seconds of silence, while a request is under way, after which the connection is
            probed; None for never.

    Raises:
        OSError: A file of certificates cannot be read.
    """
    import grpc

    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.primary_user_agent", f"iq-client/{version('iq-client')}"),
        ("grpc.enable_retries", 0),  # the transport's retries are the only ones
        ("grpc.lb_policy_name", "round_robin"),  # over all addresses of a name
        # gRPC's own pauses between connection attempts grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if keepalive is not None:
        options += [
            ("grpc.keepalive_time_ms", int(keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", int(keepalive * 1000)),
            # While gRPC measures the bandwidth with a ping of its own, keepalive pauses, and that
            # ping waits for a minute.
            ("grpc.http2.ping_timeout_ms", int(keepalive * 1000)),
        ]
    if _is_loopback(url):
        options.append(("grpc.enable_http_proxy", 0))
    if tls is None:
        return grpc.insecure_channel(url, options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(
        *(None if path is None else Path(path).read_bytes()
          for path in (tls.ca, tls.key, tls.certificate))
    )  # fmt: skip
    return grpc.secure_channel(url, credentials, options)


def proxy_of(url: str) -> str | None:
    """The proxy that gRPC asks for an address, without its password; None where it asks none.

    Args:
        url: As for `open_channel`.

    Returns:
        `HOST:PORT, from the variable NAME`.
    """
    if _is_loopback(url):
        return None
    excluded = next(filter(None, map(os.environ.get, _NO_PROXIES)), "")
    if any(entry and _host(url).endswith(entry) for entry in map(str.strip, excluded.split(","))):
        return None
    for name in _PROXIES:
        if value := os.environ.get(name):
            return f"{urlsplit(value).netloc.rpartition('@')[2] or value}, from the variable {name}"
    return None


def _host(url: str) -> str:
    """The host of `HOST:PORT` or `dns:///NAME:PORT`."""
    return url.rpartition("/")[2].rpartition(":")[0].strip("[]")


def _is_loopback(url: str) -> bool:
    host = _host(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def grpc_compression(name: Compression | None) -> grpc.Compression:
    """The compression of requests as gRPC names it."""
    import grpc

    return {
        None: grpc.Compression.NoCompression,
        "gzip": grpc.Compression.Gzip,
        "deflate": grpc.Compression.Deflate,
    }[name]

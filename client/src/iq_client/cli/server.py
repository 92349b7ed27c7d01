"""The server that a command uses, and the client that talks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from iq_client.cli.gathering import gathered
from iq_client.client import Client
from iq_client.errors import LocalServerError
from iq_client.images.inputs import InputOptions
from iq_client.local.installation import REPOSITORY_VARIABLE
from iq_client.local.server import TOKEN_HEADER, LocalServer
from iq_client.options import DEFAULT_BATCH_SIZE, URL_VARIABLE
from iq_client.wire.channel import TLS, Compression
from iq_client.wire.protocol import MODEL_NAME
from iq_client.wire.retry import RetryPolicy

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(path_type=Path)  # whether it is there is asked when it is used


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The server options of a command line."""

    url: tuple[str, ...]
    local: bool
    model_repository: Path | None
    token: str | None
    header: tuple[str, ...]
    tls: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None
    server_name: str | None
    timeout: float
    model: str
    model_version: int | None

    @property
    def embedded(self) -> bool:
        """True where the command starts a server of its own."""
        return self.local or not self.url


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The sending options of a command line."""

    batch_size: int
    in_flight: int | None
    deadline: float | None
    compression: Compression | None
    shrink_to: int | None
    allow_urls: bool

    def inputs(self, on_left_out: Callable[[str], None]) -> InputOptions:
        """Choices in how the paths of the command line are read."""
        return InputOptions(allow_urls=self.allow_urls, on_left_out=on_left_out)


# An embedded server that died comes back by itself; on a busy machine that takes a while.
_UNTIL_RESTARTED = RetryPolicy(attempts=60)

SECONDS = click.FloatRange(0, min_open=True)

_SERVER_OPTIONS = [
    click.option(
        "--url",
        multiple=True,
        envvar=URL_VARIABLE,
        show_envvar=True,
        metavar="HOST:PORT",
        help="gRPC address of a server; repeat it and they share the work.",
    ),
    click.option(
        "--local", is_flag=True, help=f"Start the embedded server, whatever {URL_VARIABLE} says."
    ),
    click.option(
        "--model-repository",
        type=FOLDER,
        metavar="DIR",
        envvar=REPOSITORY_VARIABLE,
        show_envvar=True,
        help="The embedded server's models.  [default: ./model_repository, else those installed]",
    ),
    click.option(
        "--token",
        envvar="IQ_TOKEN",
        show_envvar=True,
        help="For `iq-client serve --token`, or as `authorization: Bearer …` for a proxy.",
    ),
    click.option(
        "--header", multiple=True, metavar="NAME:VALUE", help="Sent with every request; repeatable."
    ),
    click.option("--tls", is_flag=True, help="Encrypt; implied by the four options below."),
    click.option("--ca", type=EXISTING_FILE, help="PEM certificates that sign the server's."),
    click.option("--certificate", type=EXISTING_FILE, help="PEM certificate of this client."),
    click.option("--key", type=EXISTING_FILE, help="PEM key of --certificate."),
    click.option(
        "--server-name",
        metavar="NAME",
        help="In the server's certificate, where it is not the host of --url.",
    ),
    click.option(
        "--timeout",
        type=SECONDS,
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="For one try of a request.",
    ),
    click.option(
        "--model",
        metavar="NAME",
        default=MODEL_NAME,
        show_default=True,
        help="The ensemble that is asked: a server may have several.",
    ),
    click.option(
        "--model-version",
        type=click.IntRange(1),
        metavar="N",
        help="Of the ensemble.  [default: the server's choice]",
    ),
]

_SEND_OPTIONS = [
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        metavar="N",
        default=DEFAULT_BATCH_SIZE,
        show_default=True,
        help="Images of one request.",
    ),
    click.option(
        "--in-flight",
        type=click.IntRange(1),
        metavar="N",
        help="Requests at a time.  [default: as many as pay]",
    ),
    click.option("--deadline", type=SECONDS, metavar="SECONDS", help="For all images together."),
    click.option("--compression", type=click.Choice(["gzip", "deflate"]), help="Of requests."),
    click.option(
        "--shrink-to",
        type=click.IntRange(1),
        metavar="PIXELS",
        help="Send JPEGs smaller: the longer side.  [default: as they are]",
    ),
    click.option("--allow-urls", is_flag=True, help="Fetch http:// and https:// addresses."),
]


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `ServerOptions` to a command, which gets them as `server`."""
    return gathered(command, "server", ServerOptions, _SERVER_OPTIONS)


def send_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `SendOptions` to a command, which gets them as `send`."""
    return gathered(command, "send", SendOptions, _SEND_OPTIONS)


def client_options(server: ServerOptions, send: SendOptions | None = None) -> dict[str, Any]:
    """The options of `Client` that a command line names, but for the address.

    Raises:
        click.UsageError: They contradict each other.
    """
    options: dict[str, Any] = {
        "timeout": server.timeout,
        "model": server.model,
        "version": server.model_version,
        "tls": _tls(server),
        "headers": _headers(server),
    }
    if send is not None:
        options |= {field.name: getattr(send, field.name) for field in fields(send)}
    if server.embedded and (options["tls"] is not None or options["headers"]):
        raise click.UsageError("the embedded server takes no certificates, token or headers")
    return options


def embedded_server(server: ServerOptions) -> LocalServer:
    """The server that a command starts, before it is started.

    Raises:
        LocalServerError: A part of it is missing.
    """
    try:
        embedded = LocalServer(server.model_repository)
    except LocalServerError as error:
        raise LocalServerError(f"{error} Or name a running server with --url.") from error
    why = "" if server.local else f"no --url and no {URL_VARIABLE}: "
    click.echo(f"{why}starting the embedded server on {embedded.model_repository}", err=True)
    return embedded


@contextmanager
def open_client(server: ServerOptions, send: SendOptions | None = None) -> Iterator[Client]:
    """A client of the server that the command line names, or of one started for it.

    Raises:
        click.UsageError: The options contradict each other.
        LocalServerError: The embedded server does not start.
    """
    options = client_options(server, send)
    if not server.embedded:
        with Client(server.url, **options) as client:
            yield client
        return
    with (
        embedded_server(server) as embedded,
        Client(embedded.url, **options, retry=_UNTIL_RESTARTED) as client,
    ):
        yield client


def _tls(server: ServerOptions) -> TLS | None:
    wanted = (server.ca, server.certificate, server.key, server.server_name)
    if not server.tls and not any(wanted):
        return None
    try:
        return TLS(*wanted)
    except ValueError as error:
        raise click.UsageError(f"{error} (--certificate and --key)") from error


def _headers(server: ServerOptions) -> dict[str, str]:
    headers = {}
    for header in server.header:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"--header {header!r} is not NAME:VALUE")
        headers[name.strip()] = value.strip()
    if server.token is not None:
        headers["authorization"] = f"Bearer {server.token}"
        headers[TOKEN_HEADER] = server.token
    return headers

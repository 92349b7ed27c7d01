"""`iq-client serve`: the embedded server in the foreground."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import EXISTING_FILE, FOLDER
from iq_client.errors import LocalServerError
from iq_client.local.installation import REPOSITORY_VARIABLE
from iq_client.local.server import LocalServer, ServerTLS, is_loopback

_FOLLOW_SECONDS = 0.3
_PORT = click.IntRange(0, 65535)


@click.command(cls=SectionedCommand)
@click.option(
    "--model-repository",
    type=FOLDER,
    metavar="DIR",
    envvar=REPOSITORY_VARIABLE,
    show_envvar=True,
    help="Folder of the models.  [default: ./model_repository, else those installed]",
)
@click.option(
    "--config-name",
    default="embedded",
    show_default=True,
    help="Which configs/NAME.pbtxt of each model is used.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that other machines reach needs --token or --insecure.",
)
@click.option(
    "--token",
    envvar="IQ_TOKEN",
    show_envvar=True,
    help="Asked of clients, who give the same --token; health is told to all.",
)
@click.option("--insecure", is_flag=True, help="Let everybody score who reaches --host.")
@click.option(
    "--port",
    type=_PORT,
    metavar="PORT",
    default=8001,
    show_default=True,
    help="gRPC; 0 takes a free one.",
)
@click.option(
    "--http-port", type=_PORT, metavar="PORT", help="HTTP; 0 takes a free one.  [default: off]"
)
@click.option(
    "--metrics-port",
    type=_PORT,
    metavar="PORT",
    help="Prometheus metrics; 0 takes a free one.  [default: off]",
)
@click.option("--certificate", type=EXISTING_FILE, help="PEM certificates of the server: TLS.")
@click.option("--key", type=EXISTING_FILE, help="PEM key of --certificate.")
@click.option("--client-ca", type=EXISTING_FILE, help="PEM; clients must have its signature: mTLS.")
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the server's log to this file.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the server's log.")
@click.option(
    "--startup-timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Until the models have to be ready.",
)
def serve(
    model_repository: Path | None,
    config_name: str,
    host: str,
    token: str | None,
    insecure: bool,
    port: int,
    http_port: int | None,
    metrics_port: int | None,
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    log_file: Path | None,
    verbose: bool,
    startup_timeout: float,
) -> None:
    """Run the embedded server until Ctrl-C.

    Requests that are under way are finished first. Needs the extra `local`.
    """
    if token == "":
        raise click.UsageError("--token is empty")
    try:
        server = LocalServer(
            model_repository,
            config_name=config_name,
            host=host,
            grpc_port=port,
            http_port=http_port,
            metrics_port=metrics_port,
            tls=_tls(certificate, key, client_ca),
            token=token,
            insecure=insecure,
            log_file=log_file,
            startup_timeout=startup_timeout,
        )
    except ValueError as error:
        raise click.UsageError(f"--token: {error}") from error
    if not is_loopback(host.strip("[]")):
        click.echo(_exposed(host, token, tls=certificate is not None), err=True)
    before = signal.signal(signal.SIGTERM, _interrupt)  # what docker and systemd send
    try:
        click.echo(f"starting on {server.model_repository}", err=True)
        with ExitStack() as cleanup:
            server.start()
            cleanup.callback(server.stop)
            if verbose:
                cleanup.callback(_follow(server.log_path))
            click.echo(f"ready: iq-client rank --url {server.url} photos/", err=True)
            if http_port is not None:
                click.echo(f"HTTP: http://{server.http_url}", err=True)
            if metrics_port is not None:
                click.echo(f"metrics: {server.metrics_url}", err=True)
            status = _wait(server)
            if status is not None:
                raise LocalServerError(f"the server ended by itself with status {status}")
    finally:
        signal.signal(signal.SIGTERM, before)


def _exposed(host: str, token: str | None, *, tls: bool) -> str:
    """A sentence on what other machines may do."""
    who = "whoever has the token" if token else "everybody"
    wire = "encrypted" if tls else "not encrypted: photos, scores and token can be read on the way"
    return (
        f"open to other machines at {host}: {who} who reaches it can score photos and read the "
        f"models' names; {wire}. The embedded Triton is older than some published fixes; the "
        f"container is not"
    )


def _wait(server: LocalServer) -> int | None:
    """The status of a server that ended by itself; None after Ctrl-C stopped it."""
    try:
        return server.wait()
    except KeyboardInterrupt:
        click.echo("stopping when the requests under way are done", err=True)
        server.stop(drain=True)
        return None


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> ServerTLS | None:
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("TLS needs both --certificate and --key")
    return ServerTLS(certificate, key, client_ca)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _follow(path: Path) -> Callable[[], None]:
    """Copies a growing log to stderr; gives a function that ends it."""
    ended = threading.Event()

    def copy() -> None:
        with path.open("rb") as log:
            while True:
                last = ended.is_set()
                sys.stderr.buffer.write(log.read())
                sys.stderr.buffer.flush()
                if last:
                    return
                ended.wait(_FOLLOW_SECONDS)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()

    return end

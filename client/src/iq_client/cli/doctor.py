"""`iq-client doctor`: the parts that are installed, those that work, and how to mend the rest."""

from __future__ import annotations

import importlib.util
import io
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import click
from rich.text import Text

from iq_client.cli import exit_codes, tables
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import ServerOptions, open_client, server_options
from iq_client.client import Client
from iq_client.errors import IQClientError
from iq_client.local.installation import find_installation, find_model_repository
from iq_client.local.server import LocalServer
from iq_client.options import URL_VARIABLE

_REQUIRED = ("numpy", "pillow", "tritonclient", "grpcio", "click", "rich")
# Packages that bring something more: its use and the extra they are installed with.
_OPTIONAL = {
    "pi_heif": ("HEIC photos", "heif"),
    "rawpy": ("RAW files", "raw"),
    "lxml": ("stars in XMP", "xmp"),
    "pyarrow": ("Parquet files", "parquet"),
    "fsspec": ("bulk", "cloud"),
    "ray": ("bulk on a cluster", "ray"),
    "imagehash": ("groups of near-identical photos", "groups"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        state: `ok`; `bad`, with what to do in the text; or `none`, for what is absent and may be.
        subject: The thing that was looked at.
        text: The state in words.
        scored: Whether a server scored a photo: the proof that the whole works.
    """

    state: Literal["ok", "bad", "none"]
    subject: str
    text: str
    scored: bool = False


_MARKS = {"ok": Text("✓", "green"), "bad": Text("✗", "red"), "none": Text("-", "dim")}


@click.command(cls=SectionedCommand)
@server_options
@click.pass_context
def doctor(ctx: click.Context, server: ServerOptions) -> None:
    """Find out what works here, and what to do about the rest.

    Asks the server at --url, where one is given, and starts the embedded one. Exits with 0 where
    at least one of them scores a photo, else with 3.
    """
    console = tables.console()
    scored = False
    for finding in _findings(server):
        line = Text.assemble(_MARKS[finding.state], " ", (finding.subject, "bold"), ": ")
        console.print(line.append(tables.printable(finding.text)), soft_wrap=True)
        scored |= finding.scored
    ctx.exit(exit_codes.SCORED if scored else exit_codes.NO_SERVER)


def _findings(server: ServerOptions) -> Iterator[Finding]:
    yield Finding(
        "ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield Finding("ok", "iq-client", version("iq-client"))
    for package in _REQUIRED:
        yield _package(package)
    for package, (use, extra) in _OPTIONAL.items():
        if importlib.util.find_spec(package) is None:
            yield Finding("none", package, f"for {use}: pip install 'iq-client[{extra}]'")
        else:
            yield _package(package)
    if server.url:
        yield from _given_server(server)
    else:
        yield Finding("none", "server", f"no --url and no {URL_VARIABLE}")
    yield from _embedded_server(server)


def _package(name: str) -> Finding:
    try:
        return Finding("ok", name, version(name))
    except PackageNotFoundError:
        return Finding("bad", name, f"missing: {sys.executable} -m pip install {name}")


def _given_server(server: ServerOptions) -> Iterator[Finding]:
    subject = "server at " + ", ".join(server.url)
    try:
        with open_client(replace(server, local=False)) as client:
            facts = client.server_info()
            yield Finding("ok", subject, f"{facts.server_name} {facts.server_version}")
            yield _scores(client, "scores from it")
    except (IQClientError, click.UsageError) as error:
        yield Finding("bad", subject, str(error))


def _embedded_server(server: ServerOptions) -> Iterator[Finding]:
    # Where a server is given, not having another one is no fault.
    absent: Literal["bad", "none"] = "none" if server.url else "bad"
    try:
        installation = find_installation()
    except IQClientError as error:
        yield Finding(absent, "embedded server", str(error))
        return
    yield Finding("ok", "embedded server", str(installation.binary))
    try:
        repository = find_model_repository(server.model_repository)
    except IQClientError as error:
        yield Finding(absent, "model repository", str(error))
        return
    yield Finding("ok", "model repository", str(repository))
    began = time.monotonic()
    try:
        with (
            LocalServer(repository) as embedded,
            Client(embedded.url, model=server.model, version=server.model_version) as client,
        ):
            yield Finding("ok", "start", f"ready after {time.monotonic() - began:.1f} s")
            yield _scores(client, "scores from the embedded server")
    except IQClientError as error:
        yield Finding("bad", "start", str(error))


def _scores(client: Client, subject: str) -> Finding:
    began = time.monotonic()
    (score,) = client.score_images([_photo()])
    if score.error is not None:
        return Finding("bad", subject, str(score.error))
    seconds = time.monotonic() - began
    text = f"a grey picture has {score.mean:.2f}, after {1000 * seconds:.0f} ms"
    return Finding("ok", subject, text, scored=True)


def _photo() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(stream, "JPEG")
    return stream.getvalue()

"""Rights of a stranger on the ports of the container's Triton: to score, and nothing else."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from iq_client import Client, LocalServer
from iq_client.local.server import CLOSED_PROTOCOLS
from iq_tools.access import KEY_HEADER, RESTRICTED, access_arguments
from iq_tools.errors import InputError

KEY = "a-key-for-this-test"


@pytest.fixture(scope="module")
def guarded(model_repository: Path) -> Iterator[LocalServer]:
    """Triton with the container's restrictions; its addresses are the test's own."""
    shut = tuple(a for a in access_arguments((), KEY) if not a.startswith("--http-address"))
    with LocalServer(
        model_repository, http_port=0, allow=CLOSED_PROTOCOLS, extra_arguments=shut
    ) as running:
        yield running


Door = Callable[[triton_grpc.InferenceServerClient, dict[str, str]], object]
DOORS: dict[str, Door] = {
    "shared-memory": lambda client, headers: client.get_system_shared_memory_status(
        headers=headers
    ),
    "model-repository": lambda client, headers: client.get_model_repository_index(headers=headers),
    "statistics": lambda client, headers: client.get_inference_statistics(headers=headers),
    "trace": lambda client, headers: client.get_trace_settings(headers=headers),
    "logging": lambda client, headers: client.get_log_settings(headers=headers),
}


def test_every_restricted_protocol_is_tried() -> None:
    assert DOORS.keys() == set(RESTRICTED)


@pytest.mark.slow
@pytest.mark.parametrize("door", RESTRICTED)
def test_a_door_opens_to_the_key_alone(guarded: LocalServer, door: str) -> None:
    client = triton_grpc.InferenceServerClient(guarded.url)
    header = f"triton-grpc-protocol-{KEY_HEADER}"
    for headers in ({}, {header: "another-key-of-no-use"}):
        with pytest.raises(InferenceServerException, match="restricted"):
            DOORS[door](client, headers)
    DOORS[door](client, {header: KEY})


@pytest.mark.slow
def test_memory_cannot_be_registered_and_models_cannot_be_unloaded(guarded: LocalServer) -> None:
    client = triton_grpc.InferenceServerClient(guarded.url)
    web = triton_http.InferenceServerClient(guarded.http_url)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: client.register_system_shared_memory("region", "/region", 64),
        lambda: client.unload_model("nima"),
        lambda: web.register_system_shared_memory("region", "/region", 64),
        lambda: web.unload_model("nima"),
        lambda: web.get_log_settings(),
    )
    for refused in attempts:
        with pytest.raises(InferenceServerException, match="restricted"):
            refused()


@pytest.mark.slow
def test_clients_score_and_health_is_told_as_before(
    guarded: LocalServer, example_photos: list[Path]
) -> None:
    with Client(guarded.url) as client:
        assert client.server_info().tower is not None
        assert all(score.error is None for score in client.score_images(example_photos[:2]))
    with urllib.request.urlopen(f"http://{guarded.http_url}/v2/health/ready") as response:
        assert response.status == 200


def test_what_is_asked_for_stays_as_asked() -> None:
    given = ["--http-address=0.0.0.0", "--grpc-restricted-protocol=health:a=b"]
    added = access_arguments(given)
    assert [argument.partition("=")[0] for argument in added] == ["--http-restricted-api"]


def test_a_random_key_is_another_each_time() -> None:
    assert access_arguments(()) != access_arguments(())
    assert access_arguments((), KEY) == access_arguments((), KEY)


@pytest.mark.parametrize("key", ["", "short", "sixteen:or=more,characters"])
def test_a_key_that_protects_nothing_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="IQ_ADMIN_KEY"):
        access_arguments((), key)

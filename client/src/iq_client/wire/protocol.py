"""The serving contract as the client sees it: requests, responses and what is checked in between.

The protocol's generated messages are imported on first use: with gRPC they take most of a second.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from iq_client.codes import ServerCode
from iq_client.errors import ContractError, RequestFailed
from iq_client.results import VOTES, ImageError, Score, TowerIdentity

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2, service_pb2

MODEL_NAME: Final = "nima"
INFER_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
# protobuf refuses messages of 2 GiB; the rest of a request is far below the margin.
MAX_MESSAGE_BYTES: Final = 2**31 - 2**16

_TOWER_PREFIX: Final = "tower."  # and the number of a version

# Name: (datatype, shape behind the batch dimension).
INPUTS: Final = {"IMAGE": ("BYTES", (1,))}
OUTPUTS: Final = {
    "DISTRIBUTION": ("FP32", (len(VOTES),)),
    "MEAN": ("FP32", (1,)),
    "STD": ("FP32", (1,)),
    "ERROR": ("BYTES", (1,)),
}

Metadata: TypeAlias = tuple[tuple[str, str], ...]  # headers of a request

# Of the sum of a distribution and of the range of its moments: half precision is less exact.
_TOLERANCE: Final = 0.01

_LENGTH: Final = struct.Struct("<I")

# Field 7, `raw_input_contents`, with a length in front: (7 << 3) | 2.
_RAW_INPUT_CONTENTS: Final = b"\x3a"


def encode_request(
    images: Sequence[bytes], request_id: str, *, model: str = MODEL_NAME, version: str = ""
) -> bytes:
    """The request for a batch of encoded images, ready to be sent.

    Args:
        images: Files as bytes, unchanged; at least one.
        request_id: Shows up in the server's log and traces.
        model: The model that is asked.
        version: Its version; empty for the one that the server prefers.

    Returns:
        A serialised `ModelInferRequest` with `IMAGE` BYTES [len(images), 1].
    """
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    request.inputs.add(name="IMAGE", datatype="BYTES", shape=[len(images), 1])
    size = sum(_LENGTH.size + len(image) for image in images)
    # The images are most of a request. Appended to the rest as the field that they are in the
    # protocol, they are copied once; put into the message and serialised, three times.
    return b"".join(
        (
            request.SerializeToString(),
            _RAW_INPUT_CONTENTS,
            _varint(size),
            *(part for image in images for part in (_LENGTH.pack(len(image)), image)),
        )
    )


def decode_response(
    response: service_pb2.ModelInferResponse,
    sources: Sequence[str],
    tower: TowerIdentity | None = None,
) -> list[Score]:
    """The scores in a response.

    Args:
        response: The server's answer to a request with one image per source.
        sources: Names of the images, in the request's order.
        tower: The network that the scores are of, where it is known.

    Returns:
        One score per source, in the same order.

    Raises:
        RequestFailed: `BAD_RESPONSE`: a tensor is missing or has another datatype, shape or size
            than the contract says, an image has neither a score nor an error, or its score
            cannot be: a distribution that does not sum to 1, a mean outside of 1…10.
    """
    count = len(sources)
    raw = _raw_outputs(response, count)
    votes = len(VOTES)
    distributions = struct.unpack(f"<{votes * count}f", raw["DISTRIBUTION"])
    means = struct.unpack(f"<{count}f", raw["MEAN"])
    stds = struct.unpack(f"<{count}f", raw["STD"])
    errors = _split_bytes(raw["ERROR"], count)
    label = None if tower is None else tower.label
    scores = []
    for i, source in enumerate(sources):
        if errors[i]:
            scores.append(Score.failed(source, _image_error(errors[i].decode("utf-8", "replace"))))
            continue
        distribution = distributions[votes * i : votes * (i + 1)]
        if not all(map(math.isfinite, (means[i], stds[i], *distribution))):
            raise _bad_response(f"{source} came back with neither a score nor an error")
        if not _can_be(means[i], stds[i], distribution):
            raise _bad_response(
                f"{source} came back with a score that cannot be: mean {means[i]:g}, standard "
                f"deviation {stds[i]:g}, shares that sum to {sum(distribution):g}"
            )
        scores.append(
            Score(
                source,
                means[i],
                stds[i],
                distribution,
                percentile=None if tower is None else tower.percentile(means[i]),
                tower=label,
            )
        )
    return scores


def _can_be(mean: float, std: float, distribution: Sequence[float]) -> bool:
    """True where numbers may be the moments and the shares of votes."""
    lowest, highest = VOTES[0], VOTES[-1]
    return (
        lowest - _TOLERANCE <= mean <= highest + _TOLERANCE
        and -_TOLERANCE <= std <= (highest - lowest) / 2 + _TOLERANCE
        and min(distribution) >= -_TOLERANCE
        and abs(sum(distribution) - 1) <= _TOLERANCE
    )


def tower_identities(config: model_config_pb2.ModelConfig) -> dict[str, TowerIdentity]:
    """The identities that an ensemble's configuration has of its towers.

    Args:
        config: The ensemble's; its parameters describe every version of the tower.

    Returns:
        Identities by version: an answer of a version of the ensemble is of that tower.

    Raises:
        ContractError: What it says is no identity.
    """
    found = {}
    for name, parameter in config.parameters.items():
        if not name.startswith(_TOWER_PREFIX):
            continue
        try:
            tower = TowerIdentity.parse(parameter.string_value)
        except ValueError as error:
            raise ContractError(
                f"the parameter {name} of the server's model `{config.name}` is {error}: write "
                f"its repository again with `iq-tools repository`."
            ) from error
        found[name.removeprefix(_TOWER_PREFIX)] = tower
    return found


def check_contract(metadata: service_pb2.ModelMetadataResponse) -> None:
    """Holds a model's tensors against the contract.

    Args:
        metadata: The server's description of the model.

    Raises:
        ContractError: They differ; the message lists every difference.
    """
    differences = [
        *_differences("input", INPUTS, metadata.inputs),
        *_differences("output", OUTPUTS, metadata.outputs),
    ]
    if differences:
        raise ContractError(
            f"the server's model `{metadata.name}` does not keep the contract of this client: "
            f"{'; '.join(differences)}. Client and model repository are of different versions: "
            f"upgrade the older one."
        )


def _image_error(text: str) -> ImageError:
    """The server's word on one image, `CODE: message`."""
    code, _, message = text.partition(": ")
    for known in get_args(ServerCode):
        if code == known:
            return ImageError(known, message)
    return ImageError("BAD_RESPONSE", f"the server gives an error of a code unknown here: {text}")


def _bad_response(message: str) -> RequestFailed:
    return RequestFailed("BAD_RESPONSE", message)


def _differences(
    kind: str, expected: Mapping[str, tuple[str, tuple[int, ...]]], found: Iterable[Any]
) -> list[str]:
    tensors = {tensor.name: (tensor.datatype, tuple(tensor.shape)) for tensor in found}
    differences = []
    for name, (datatype, shape) in expected.items():
        wanted = (datatype, (-1, *shape))
        if name not in tensors:
            differences.append(f"{kind} {name} is missing")
        elif tensors[name] != wanted:
            differences.append(
                f"{kind} {name} is {tensors[name][0]} {list(tensors[name][1])} "
                f"instead of {wanted[0]} {list(wanted[1])}"
            )
    if kind == "input":  # a further output does no harm
        differences += [f"input {name} is unknown" for name in tensors.keys() - expected.keys()]
    return differences


def _varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits in a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _raw_outputs(response: service_pb2.ModelInferResponse, count: int) -> dict[str, bytes]:
    raw = {}
    if len(response.outputs) != len(response.raw_output_contents):
        raise _bad_response("the response has another number of tensors than of contents")
    for tensor, content in zip(response.outputs, response.raw_output_contents, strict=True):
        if tensor.name not in OUTPUTS:
            continue
        datatype, shape = OUTPUTS[tensor.name]
        if tensor.datatype != datatype or tuple(tensor.shape) != (count, *shape):
            raise _bad_response(
                f"{tensor.name} came back as {tensor.datatype} {list(tensor.shape)} instead of "
                f"{datatype} {[count, *shape]}"
            )
        if datatype == "FP32" and len(content) != 4 * count * shape[0]:
            raise _bad_response(f"{tensor.name} came back with {len(content)} bytes")
        raw[tensor.name] = content
    missing = OUTPUTS.keys() - raw.keys()
    if missing:
        raise _bad_response(f"{', '.join(sorted(missing))} did not come back")
    return raw


def _split_bytes(content: bytes, count: int) -> list[bytes]:
    """A BYTES tensor: every element behind its length, 4 bytes little-endian."""
    elements = []
    offset = 0
    for _ in range(count):
        if offset + _LENGTH.size > len(content):
            raise _bad_response("ERROR came back cut off")
        (length,) = _LENGTH.unpack_from(content, offset)
        offset += _LENGTH.size
        elements.append(content[offset : offset + length])
        offset += length
    if offset != len(content):
        raise _bad_response("ERROR came back with another size than its elements have")
    return elements

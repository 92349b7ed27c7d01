"""The whole line once: photos, training, SavedModel, ONNX, model repository, Triton, client."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from iq_client import Client, LocalServer

TOWER = "mobilenet"
FROZEN_THROUGH = "conv_pw_12_relu"
IMAGE_SIZE = (96, 96)  # less than the tower's own, and so faster


def run(command: object, *arguments: object) -> str:
    result = CliRunner().invoke(command, [str(each) for each in arguments])  # type: ignore[arg-type]
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


@pytest.fixture(scope="module")
def start(model_repository: Path) -> Path:
    """Weights to start from: those of the shipped tower, whose scores say something."""
    return model_repository / "nima_tower" / "1" / "model.onnx"


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, start: Path, example_photos: list[Path]
) -> Path:
    """The output folder of a run of seconds: ladders of distortions of a few photos."""
    from siamese_nima.cli import main

    folder = tmp_path_factory.mktemp("run")
    (folder / "photos").mkdir()
    for photo in [each for each in example_photos if "-" not in each.stem]:
        (folder / "photos" / photo.name).symlink_to(photo)
    config = folder / "config.toml"
    config.write_text(
        f"""
        tower = "{TOWER}"
        weights = "{start}"
        freeze_through = "{FROZEN_THROUGH}"
        output = "{folder}/out"
        image_size = {IMAGE_SIZE[0]}
        dropout = 0.0
        seed = 1
        head = {{ epochs = 0, learning_rate = 1e-3 }}
        body = {{ epochs = 2, learning_rate = 3e-4 }}
        cache_features = true

        [[sets]]
        name = "ladders"
        batch_size = 30
        held_out_share = 0.3
        data = {{ form = "distortions", images = "{folder}/photos" }}
        loss = {{ logistic = 1.0 }}
        """
    )
    run(main, "train", config)
    return folder / "out"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """The trained tower in a model repository of its own."""
    from iq_tools.cli import cli as tools
    from siamese_nima.cli import main as training

    folder = tmp_path_factory.mktemp("export")
    run(
        training, "export",
        "--weights", trained / "last.weights.h5", "--output", folder / "saved_model",
    )  # fmt: skip
    run(tools, "onnx", folder / "saved_model", "--output", folder / "model.onnx")
    run(tools, "repository", "--onnx", folder / "model.onnx", "--output", folder / "repository")
    return folder / "repository"


def test_training_learns_and_reports(trained: Path) -> None:
    with (trained / "log.csv").open() as log:
        epochs = list(csv.DictReader(log))
    assert float(epochs[-1]["loss"]) < float(epochs[0]["loss"])
    assert 0.5 < float(epochs[-1]["ladders_held_out_pairwise_accuracy"]) <= 1


def test_frozen_layers_keep_their_weights(trained: Path, start: Path) -> None:
    from siamese_nima.towers.weights import load_tower

    before, after = (load_tower(path).model for path in (start, trained / "last.weights.h5"))
    learnt = {
        layer.name
        for layer in before.layers
        if not all(
            np.array_equal(a, b)
            for a, b in zip(
                layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True
            )
        )
    }
    assert learnt == {"conv_dw_13", "conv_dw_13_bn", "conv_pw_13", "conv_pw_13_bn", "dense_1"}


def test_the_server_scores_what_was_trained(
    trained: Path, start: Path, repository: Path, example_photos: list[Path]
) -> None:
    photos = example_photos
    expected = keras_means(trained / "last.weights.h5", photos)
    before = keras_means(start, photos, image_size=IMAGE_SIZE)
    assert np.std(expected) >= 0.1
    assert np.abs(np.subtract(expected, before)).max() >= 0.05, "it learnt something"
    with LocalServer(repository) as server, Client(server.url) as client:
        scores = client.score_images(photos)
        ranking = client.rank_images(photos)
    assert [score.source for score in scores] == [str(photo) for photo in photos]
    np.testing.assert_allclose([score.mean for score in scores], expected, atol=0.01)
    best_first = sorted(scores, key=lambda score: -score.mean)
    assert [row.score.source for row in ranking] == [score.source for score in best_first]
    # Which photos share a batch is chance, and rounding with it.
    np.testing.assert_allclose(
        [row.score.mean for row in ranking], [score.mean for score in best_first], atol=1e-5
    )
    assert [row.rank for row in ranking] == list(range(1, len(photos) + 1))


def test_committed_tower_scores_as_its_weights_in_keras(
    server: LocalServer, start: Path, example_photos: list[Path]
) -> None:
    expected = keras_means(start, example_photos)
    with Client(server.url) as client:
        scores = client.score_images(example_photos)
    assert len(scores) >= 12
    assert np.std(expected) >= 0.1
    np.testing.assert_allclose([score.mean for score in scores], expected, atol=0.01)


def test_degraded_twins_rank_below_their_photo(
    server: LocalServer, example_photos: list[Path]
) -> None:
    with Client(server.url) as client:
        means = {Path(s.source).stem: s.mean for s in client.score_images(example_photos)}
    twins = [name for name in means if "-" in name]
    assert len(twins) >= 6
    for twin in twins:
        assert means[twin] < means[twin.split("-")[0]], twin


def test_one_corrupt_image_leaves_the_others_scored(
    server: LocalServer, example_photos: list[Path]
) -> None:
    first, second, third = (photo.read_bytes() for photo in example_photos[:3])
    with Client(server.url) as client:
        alone = client.score_images([first, second, third])
        mixed = client.score_images([first, b"", second, third[:5000], b"text", third])
    assert [score.error.code if score.error else "" for score in mixed] == [
        "", "EMPTY", "", "UNREADABLE", "UNREADABLE", "",
    ]  # fmt: skip
    np.testing.assert_allclose(
        [score.distribution for score in mixed if score.ok],
        [score.distribution for score in alone],
        atol=1e-5,
    )


def keras_means(
    weights: Path, photos: list[Path], *, image_size: tuple[int, int] | None = None
) -> list[float]:
    """Mean opinion scores by Keras, with the training side's own preprocessing."""
    from iq_serving.preprocessing import load_pixels
    from siamese_nima.distribution import mean_opinion_score
    from siamese_nima.towers.registry import build_tower
    from siamese_nima.towers.weights import load_tower, load_weights

    loaded = load_tower(str(weights))
    tower, model = loaded.tower, loaded.model
    if image_size:
        model = build_tower(tower, image_size=image_size)
        load_weights(model, weights)
    size = model.input_shape[1:3]
    pixels = np.stack([load_pixels(p.read_bytes(), image_size=size) for p in photos])
    distributions = model.predict(tower.normalise(pixels.astype(np.float32)), verbose=0)
    return [float(mean) for mean in mean_opinion_score(np.asarray(distributions))]

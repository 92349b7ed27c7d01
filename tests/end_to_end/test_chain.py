"""The whole line once: photos, training, SavedModel, ONNX, model repository, Triton, client."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from iq_client import Client, LocalServer

IMAGE_SIZE = (224, 224)


def run(command: object, *arguments: object) -> str:
    result = CliRunner().invoke(command, [str(each) for each in arguments])  # type: ignore[arg-type]
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve small pictures, smooth enough to be blurred visibly."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(12):
        coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8))
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Path:
    """The output folder of a run of seconds, its pretrained weights being random."""
    import keras

    from siamese_nima.cli import main
    from siamese_nima.towers.registry import build_tower, get_tower
    from siamese_nima.towers.weights import save_weights

    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(0)
    student = build_tower(get_tower("efficientnet_lite0"))
    save_weights(keras.Model(student.input, student.get_layer("pool").output), folder / "lite0.h5")
    save_weights(build_tower(get_tower("mobilenet")), folder / "teacher.h5")
    config = folder / "config.toml"
    config.write_text(
        f"""
        tower = "efficientnet_lite0"
        backbone_weights = "{folder}/lite0.h5"
        freeze_through = "block10_out"
        teacher = "mobilenet"
        teacher_weights = "{folder}/teacher.h5"
        photos = ["{photos[0].parent}"]
        output = "{folder}/out"
        held_out_share = 0.3
        crops = 1
        batch_size = 8
        distil = {{ epochs = 1, learning_rate = 1e-3 }}
        tune = {{ epochs = 2, learning_rate = 1e-3 }}
        """
    )
    for command in ("prepare", "distil", "tune"):
        run(main, command, config)
    return folder / "out"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """The trained tower in a model repository of its own."""
    from iq_tools.cli import cli as tools
    from siamese_nima.cli import main as training

    folder = tmp_path_factory.mktemp("export")
    run(
        training, "export", "--tower", "efficientnet_lite0",
        "--weights", trained / "tuned.weights.h5", "--output", folder / "saved_model",
    )  # fmt: skip
    run(tools, "onnx", folder / "saved_model", "--output", folder / "model.onnx")
    run(tools, "repository", "--onnx", folder / "model.onnx", "--output", folder / "repository")
    return folder / "repository"


def test_training_learns_and_reports(trained: Path) -> None:
    with (trained / "tune.csv").open() as log:
        epochs = list(csv.DictReader(log))
    assert float(epochs[-1]["loss"]) < float(epochs[0]["loss"])
    assert 0 <= float(epochs[-1]["val_emd"]) < 0.1
    for name in ("distilled", "tuned"):
        metrics = json.loads((trained / f"{name}.json").read_text())
        assert 0 < metrics["photos"] < 12
        assert set(metrics["order"]) == set(metrics["teacher_order"])
        assert all(0 <= share <= 1 for share in metrics["order"].values())


def test_frozen_layers_keep_their_weights(trained: Path) -> None:
    from siamese_nima.towers.weights import read_weights

    before, after = (
        read_weights(path) for path in (trained.parent / "lite0.h5", trained / "tuned.weights.h5")
    )
    for layer, values in before.items():
        same = all(np.array_equal(a, b) for a, b in zip(values, after[layer], strict=True))
        name = layer.split("_")[0]
        frozen = name == "stem" or (name.startswith("block") and int(name[5:]) <= 10)
        if frozen or layer.endswith(("_bn", "_out")):
            assert same, f"{layer} is frozen"
        else:
            assert not same, f"{layer} learns"


def test_the_server_scores_what_was_trained(
    trained: Path, repository: Path, photos: list[Path]
) -> None:
    expected = keras_means(trained / "tuned.weights.h5", photos)
    with LocalServer(repository) as server, Client(server.url) as client:
        scores = client.score_images(photos)
        ranking = client.rank_images(photos)
    assert [score.source for score in scores] == [str(photo) for photo in photos]
    np.testing.assert_allclose([score.mean for score in scores], expected, atol=0.01)
    best_first = sorted(scores, key=lambda score: -score.mean)
    assert [row.score for row in ranking] == best_first
    assert [row.rank for row in ranking] == list(range(1, len(photos) + 1))


def test_committed_tower_scores_as_its_keras_weights(
    server: LocalServer, model_repository: Path, example_photos: list[Path]
) -> None:
    expected = keras_means(model_repository / "nima_tower" / "tower.weights.h5", example_photos)
    with Client(server.url) as client:
        scores = client.score_images(example_photos)
    assert len(scores) >= 12
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


def keras_means(weights: Path, photos: list[Path]) -> list[float]:
    """Mean opinion scores by Keras, with the training side's own preprocessing."""
    from iq_serving.preprocessing import load_pixels
    from siamese_nima.distribution import mean_opinion_score
    from siamese_nima.towers.registry import build_tower, get_tower
    from siamese_nima.towers.weights import load_weights

    tower = get_tower("efficientnet_lite0")
    model = build_tower(tower)
    load_weights(model, weights)
    pixels = np.stack([load_pixels(p.read_bytes(), image_size=IMAGE_SIZE) for p in photos])
    distributions = model.predict(tower.normalise(pixels.astype(np.float32)), verbose=0)
    return [float(mean) for mean in mean_opinion_score(np.asarray(distributions))]

"""`siamese-nima train`: a tower that learns as a config file says."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from siamese_nima.cli.options import config_argument, set_option
from siamese_nima.cli.tensorflow_loading import loading_tensorflow
from siamese_nima.config import read_config


@click.command()
@config_argument
@set_option
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@click.option("--cache-features", is_flag=True, help="Compute the frozen part once.")
@click.option(
    "--strategy", help="On which devices: none, mirrored, or multi_worker, named by TF_CONFIG."
)
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard.")
def train(
    config: Path,
    overrides: tuple[str, ...],
    resume: bool,
    cache_features: bool,
    strategy: str | None,
    tensorboard: bool,
) -> None:
    """Train a tower on votes and on pairs, as CONFIG says."""
    with loading_tensorflow():
        from siamese_nima.train.config import TrainConfig
        from siamese_nima.train.logs import summary
        from siamese_nima.train.run import train

    asked = {
        "cache_features=true": cache_features,
        f"strategy={strategy}": strategy,
        "tensorboard=true": tensorboard,
    }
    # An option says the same as the key of its name.
    overrides += tuple(override for override, given in asked.items() if given)
    chosen = read_config(TrainConfig, config, overrides)
    position = train(chosen, resume=resume, console=Console(stderr=True))
    click.echo(json.dumps(summary(position), indent=2))

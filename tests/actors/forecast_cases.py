"""A checkpoint of a small network for the tests of the ForecastActor."""

from pathlib import Path

import torch

from nautilus_metal.models import Recipe, create_financial_lstm, create_financial_transformer, save_checkpoint

RECIPE = Recipe(("return", "week"), window=10, length=4)
MAKERS = {"lstm": create_financial_lstm, "transformer": create_financial_transformer}


def save(path: Path, kind: str = "lstm", recipe: Recipe | None = RECIPE, outputs: int = 1, **facts: int) -> str:
    """Write a network with random weights; return the file's name."""
    torch.manual_seed(7)
    save_checkpoint(path, MAKERS[kind](2, 8, num_layers=1, output_size=outputs), recipe, facts)
    return str(path)

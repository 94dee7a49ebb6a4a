"""The networks: an LSTM and a causal transformer over windows of features."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from nautilus_metal.errors import InputError


class ForecastNetwork(nn.Module):
    """A network that maps a window of features to a forecast, and can be made again from its `config`.

    Attributes
    ----------
    kind : str
        Its row of `NETWORKS`.
    config : dict
        The arguments that it was made with.
    """

    kind = ""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config

    def checked(self, window: Tensor) -> Tensor:
        """Return `window`, or raise an `InputError` unless its shape is (batch, time, features)."""
        features, longest = self.config["input_size"], self.config.get("max_length")
        if window.ndim != 3 or window.shape[2] != features or window.shape[1] < 1:
            raise InputError(f"`window` must be of shape (batch, time, {features}), was {tuple(window.shape)}")
        if longest is not None and window.shape[1] > longest:
            raise InputError(f"`window` must have at most {longest} steps of time, was {window.shape[1]}")
        return window


class FinancialLSTM(ForecastNetwork):
    """Stacked LSTM layers whose last state is mapped to the forecast. Arguments: see `create_financial_lstm`."""

    kind = "lstm"

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, output_size: int, dropout: float) -> None:
        super().__init__(
            {
                "input_size": input_size,
                "hidden_size": hidden_size,
                "num_layers": num_layers,
                "output_size": output_size,
                "dropout": dropout,
            }
        )
        between = dropout if num_layers > 1 else 0.0  # torch has none after the last layer, and warns
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.head = nn.Linear(hidden_size, output_size)

    def forward(self, window: Tensor) -> Tensor:
        """Map a window, shape (batch, time, features), to a forecast, shape (batch, output)."""
        states, _ = self.lstm(self.checked(window).contiguous())
        return self.head(states[:, -1])


class FinancialTransformer(ForecastNetwork):
    """A transformer encoder whose steps see themselves and the past. Arguments: `create_financial_transformer`."""

    kind = "transformer"
    positions: Tensor
    future: Tensor

    def __init__(
        self,
        input_size: int,
        model_size: int,
        num_heads: int,
        num_layers: int,
        output_size: int,
        dropout: float,
        max_length: int,
    ) -> None:
        super().__init__(
            {
                "input_size": input_size,
                "model_size": model_size,
                "num_heads": num_heads,
                "num_layers": num_layers,
                "output_size": output_size,
                "dropout": dropout,
                "max_length": max_length,
            }
        )
        self.embed = nn.Linear(input_size, model_size)
        layer = nn.TransformerEncoderLayer(
            model_size, num_heads, 4 * model_size, dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(model_size), enable_nested_tensor=False)
        self.head = nn.Linear(model_size, output_size)
        self.register_buffer("positions", positional_encoding(max_length, model_size), persistent=False)
        future = torch.ones(max_length, max_length, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, window: Tensor) -> Tensor:
        """Map a window, shape (batch, time, features), to a forecast, shape (batch, output)."""
        return self.steps(window)[:, -1]

    def steps(self, window: Tensor) -> Tensor:
        """Map every step to a forecast from it and the steps before it, shape (batch, time, output)."""
        time = self.checked(window).shape[1]
        embedded = self.embed(window) + self.positions[:time]
        return self.head(self.encoder(embedded, mask=self.future[:time, :time], is_causal=True))


NETWORKS: dict[str, type[ForecastNetwork]] = {row.kind: row for row in (FinancialLSTM, FinancialTransformer)}


def widest(model: nn.Module, inputs: Tensor, batch: int) -> int:
    """Elements of about the largest tensor of an evaluation: a value of the widest layer for every step of time.

    Parameters
    ----------
    model : nn.Module
        Any network.
    inputs : Tensor
        Shape (n, ..., features).
    batch : int
        Samples evaluated at once.
    """
    steps = inputs[0].numel() // max(inputs.shape[-1], 1)
    return batch * steps * max(max(value.shape, default=1) for value in model.parameters())


def positional_encoding(length: int, size: int) -> Tensor:
    """Sines and cosines of geometrically spaced frequencies, shape (length, size).

    Parameters
    ----------
    length : int
        Steps of time.
    size : int
        Even number of channels: sines in the even ones, cosines in the odd ones.

    References
    ----------
    Vaswani et al. (2017), "Attention is all you need", section 3.5.

    Examples
    --------
    >>> positional_encoding(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    frequency = torch.exp(torch.arange(0, size, 2, dtype=torch.float32) * (-math.log(10_000.0) / size))
    angle = torch.arange(length, dtype=torch.float32)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)


def create_financial_lstm(
    input_size: int = 5, hidden_size: int = 128, num_layers: int = 2, output_size: int = 1, dropout: float = 0.0
) -> FinancialLSTM:
    """Make an LSTM over windows of shape (batch, time, `input_size`), on the host, with random weights.

    Parameters
    ----------
    input_size : int, default 5
        Features of a step of time, for example open, high, low, close, volume.
    hidden_size : int, default 128
        Width of a layer's state.
    num_layers : int, default 2
        Layers.
    output_size : int, default 1
        Numbers forecast.
    dropout : float, default 0.0
        Share of states dropped between layers in training.

    Raises
    ------
    InputError
        If a size is below 1, or `dropout` not in [0, 1).
    """
    _check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers, output_size=output_size)
    return FinancialLSTM(input_size, hidden_size, num_layers, output_size, _checked_dropout(dropout))


def create_financial_transformer(
    input_size: int = 5,
    model_size: int = 64,
    num_heads: int = 4,
    num_layers: int = 2,
    output_size: int = 1,
    dropout: float = 0.0,
    max_length: int = 512,
) -> FinancialTransformer:
    """Make a causal transformer over windows of shape (batch, time, `input_size`), on the host, with random weights.

    Parameters
    ----------
    input_size : int, default 5
        Features of a step of time.
    model_size : int, default 64
        Width of a layer; even, and a multiple of `num_heads`.
    num_heads : int, default 4
        Heads of attention.
    num_layers : int, default 2
        Layers.
    output_size : int, default 1
        Numbers forecast.
    dropout : float, default 0.0
        Share of values dropped in training.
    max_length : int, default 512
        Most steps of time of a window.

    Raises
    ------
    InputError
        If a size is below 1, `model_size` does not fit, or `dropout` is not in [0, 1).
    """
    _check_sizes(
        input_size=input_size,
        model_size=model_size,
        num_heads=num_heads,
        num_layers=num_layers,
        output_size=output_size,
        max_length=max_length,
    )
    if model_size % 2 or model_size % num_heads:
        raise InputError(f"`model_size` must be even and a multiple of `num_heads` ({num_heads}), was {model_size}")
    return FinancialTransformer(
        input_size, model_size, num_heads, num_layers, output_size, _checked_dropout(dropout), max_length
    )


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"`{name}` must be an integer of at least 1, was {size!r}")


def _checked_dropout(dropout: float) -> float:
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0.0 <= dropout < 1.0:
        raise InputError(f"`dropout` must be at least 0 and below 1, was {dropout!r}")
    return float(dropout)

"""Histories of several indicators at once, into arrays that a caller may bring again."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.fused_histories import Wanted, fill_histories
from nautilus_metal.engine.placement import placed
from nautilus_metal.engine.pool_arrays import result_array
from nautilus_metal.errors import InputError
from nautilus_metal.indicators.histories import Array
from nautilus_metal.indicators.kinds import KINDS, Settings
from nautilus_metal.kernels.bollinger import BollingerValues
from nautilus_metal.kernels.macd import MacdValues
from nautilus_metal.kernels.parameters import finite

Chosen = Mapping[str, tuple[str, Settings]]  # an indicator's name to its kind and settings

_FIELDS: dict[str, Any] = {"macd": MacdValues, "bollinger": BollingerValues}  # an RSI is one plain array


def compute_histories(
    chosen: Chosen, history: Array, out: dict[str, Any] | None, engine: ComputeEngine | None
) -> dict[str, Any]:
    """Compute every indicator, by compiled loops where there are some, else by eager kernels.

    Parameters
    ----------
    chosen : mapping
        The indicators.
    history : numpy.ndarray
        Shape (series, bars).
    out : dict or None
        Where to, see `check_outputs`; new arrays where None.
    engine : ComputeEngine or None
        Where `placement` puts so many values that come back, by default.

    Returns
    -------
    dict
        By name: an array for an RSI, else a NamedTuple of them; `out` where given.

    Raises
    ------
    InputError
        If a price is not finite; `out` then is of no use.
    """
    outputs = sum(len(KINDS[kind].outputs) for kind, _ in chosen.values())
    engine = placed(engine, "series", history.size * outputs)
    made = _new_outputs(chosen, history.shape, engine) if out is None else out
    wanted = [Wanted(kind, given, _arrays(made[name])) for name, (kind, given) in chosen.items()]
    if fill_histories(history, wanted, engine):
        return made
    finite(history)
    for name, (kind, given) in chosen.items():
        swept = KINDS[kind].sweep(history, [given], engine)
        values = swept[0] if isinstance(swept, np.ndarray) else type(swept)(*(each[0] for each in swept))
        if out is None:
            made[name] = values
            continue
        for array, each in zip(_arrays(out[name]), _arrays(values), strict=True):
            array[...] = each
    return made


def _new_outputs(chosen: Chosen, shape: tuple[int, ...], engine: ComputeEngine) -> dict[str, Any]:
    """Return arrays for the outputs of every indicator, not yet filled."""
    made: dict[str, Any] = {}
    for name, (kind, _) in chosen.items():
        arrays = [result_array(engine.pool, shape) for _ in KINDS[kind].outputs]  # each from a cache line on
        made[name] = _FIELDS[kind](*arrays) if kind in _FIELDS else arrays[0]
    return made


def check_outputs(out: Any, chosen: Chosen, history: Array) -> None:
    """Refuse what cannot be filled with the outputs of `chosen` over `history`.

    Raises
    ------
    InputError
        Naming the output and what it must be.
    """
    if not isinstance(out, Mapping) or set(out) != set(chosen):
        found = ", ".join(map(str, out)) if isinstance(out, Mapping) else type(out).__name__
        raise InputError(f"`out` must hold {', '.join(chosen)}, as an earlier call returned it, was {found}")
    every = []
    for name, (kind, _) in chosen.items():
        fields = KINDS[kind].outputs
        arrays = _arrays(out[name])
        if len(arrays) != len(fields):
            raise InputError(f"`out[{name!r}]` must hold {', '.join(fields)}, held {len(arrays)} arrays")
        for field, array in zip(fields, arrays, strict=True):
            _check_array(f"`out[{name!r}]` ({field})", array, history.shape)
        every += arrays
    if any(np.may_share_memory(one, other) for one, other in combinations([history, *every], 2)):
        raise InputError("`out` must hold arrays that share no memory with each other, nor with `prices`")


def _check_array(label: str, array: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != shape:
        kind = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{label} must be a float64 array of shape {shape}, was {kind}")
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise InputError(f"{label} must be C-contiguous and writeable")


def _arrays(values: Any) -> list[Array]:
    """The arrays of one indicator's outputs."""
    return list(values) if isinstance(values, tuple) else [values]

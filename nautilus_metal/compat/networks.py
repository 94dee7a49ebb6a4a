"""Networks on the device of the function API: what `models` has, with this room's settings."""

from typing import Any

from torch import nn

from nautilus_metal import models
from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.models import MetalModelWrapper, MetalTrainingManager


def create_financial_lstm(
    input_size: int = 5, hidden_size: int = 128, num_layers: int = 2, output_size: int = 1, **options: Any
) -> MetalModelWrapper:
    """Make an LSTM whose `forward` computes on the device; parameters as for `models.create_financial_lstm`."""
    return create_metal_model_wrapper(
        models.create_financial_lstm(input_size, hidden_size, num_layers, output_size, **options)
    )


def create_financial_transformer(*sizes: int, **options: Any) -> MetalModelWrapper:
    """Make a transformer whose `forward` computes on the device, as `models.create_financial_transformer` does."""
    return create_metal_model_wrapper(models.create_financial_transformer(*sizes, **options))


def create_metal_model_wrapper(
    model: nn.Module | MetalModelWrapper, engine: ComputeEngine | None = None, **options: Any
) -> MetalModelWrapper:
    """Make what evaluates a network on the device; see `models.create_metal_model_wrapper`.

    Parameters
    ----------
    model : nn.Module or MetalModelWrapper
        The network, on the host; one that is wrapped already is wrapped anew, with its weights.
    engine : ComputeEngine, optional
        Where to; that of `metal_device_manager`, which FORCE_CPU_FALLBACK keeps on the CPU, if not given.
    **options
        What else the function of `models` takes.

    Returns
    -------
    MetalModelWrapper
        A new one's `batch_size` is that of `metal_device_manager.config`.
    """
    if isinstance(model, MetalModelWrapper):
        model = model.model
    wrapper = models.create_metal_model_wrapper(model, engine or metal_device_manager.engine(), **options)
    wrapper.batch_size = metal_device_manager.config.batch_size
    return wrapper


def create_metal_training_manager(
    model: nn.Module | MetalModelWrapper, engine: ComputeEngine | None = None
) -> MetalTrainingManager:
    """Make what trains a network on the device; see `models.create_metal_training_manager`.

    Parameters
    ----------
    model : nn.Module or MetalModelWrapper
        The network, or what wraps it: then the wrapper's engine is used.
    engine : ComputeEngine, optional
        Where to; that of `metal_device_manager` if not given.
    """
    if engine is None and not isinstance(model, MetalModelWrapper):
        engine = metal_device_manager.engine()
    return models.create_metal_training_manager(model, engine)

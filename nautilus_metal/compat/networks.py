"""Networks on the device of the function API: what `models` has, with this room's settings."""

from typing import Any

from torch import nn

from nautilus_metal import models
from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.models import MetalModelWrapper, MetalTrainingManager


def create_metal_model_wrapper(
    model: nn.Module | MetalModelWrapper, engine: ComputeEngine | None = None, **options: Any
) -> MetalModelWrapper:
    """Make what evaluates a network on the device; see `models.create_metal_model_wrapper`.

    Parameters
    ----------
    model : nn.Module
        The network, on the host; what is wrapped already is returned as it is.
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
        return model
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

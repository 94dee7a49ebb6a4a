"""Neural networks for time series: networks, inference on a device, training, features and their evaluation."""

from nautilus_metal.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nautilus_metal.models.features import Recipe, Samples, make_samples, rolling_standardise
from nautilus_metal.models.networks import create_financial_lstm, create_financial_transformer
from nautilus_metal.models.training import MetalTrainingManager, create_metal_training_manager
from nautilus_metal.models.training_run import TrainingResult
from nautilus_metal.models.walk_forward import Evaluation, walk_forward
from nautilus_metal.models.wrapper import Benchmark, MetalModelWrapper, create_metal_model_wrapper

__all__ = [
    "Benchmark",
    "Checkpoint",
    "Evaluation",
    "MetalModelWrapper",
    "MetalTrainingManager",
    "Recipe",
    "Samples",
    "TrainingResult",
    "create_financial_lstm",
    "create_financial_transformer",
    "create_metal_model_wrapper",
    "create_metal_training_manager",
    "load_checkpoint",
    "make_samples",
    "rolling_standardise",
    "save_checkpoint",
    "walk_forward",
]

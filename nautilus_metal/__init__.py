"""GPU indicators and Monte Carlo portfolio risk for NautilusTrader.

Importing this package touches no device, starts no thread and writes nothing: the names below are loaded on
first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ComputeEngine": "engine",
    "MemoryPool": "engine",
    "Book": "risk",
    "Option": "risk",
    "Position": "risk",
    "RiskAssessment": "risk",
    "assess": "risk",
    "IndicatorUniverse": "indicators",
    "MetalBollingerBands": "indicators",
    "MetalMACD": "indicators",
    "MetalRSI": "indicators",
    "price_option": "risk.pricing",
    "price_options": "risk.pricing",
    "GreeksReport": "messages",
    "HedgeRequest": "messages",
    "RiskBreach": "messages",
    "RiskReport": "messages",
    "HedgeActor": "actors",
    "HedgeActorConfig": "actors",
    "MetalEngine": "actors",
    "MetalEngineConfig": "actors",
    "RiskActor": "actors",
    "RiskActorConfig": "actors",
    **dict.fromkeys(
        (
            "OptionsPricingResult",
            "TechnicalIndicatorResult",
            "allocate_gpu_tensor",
            "calculate_bollinger_bands_metal",
            "calculate_correlation_metal",
            "calculate_macd_metal",
            "calculate_rsi_metal",
            "calculate_var_metal",
            "clear_gpu_memory_cache",
            "create_financial_lstm",
            "create_financial_transformer",
            "create_metal_model_wrapper",
            "create_metal_training_manager",
            "get_acceleration_status",
            "get_memory_optimization_recommendations",
            "get_memory_pool_stats",
            "get_metal_capabilities",
            "initialize_metal_acceleration",
            "is_m4_max_detected",
            "is_metal_available",
            "metal_device_manager",
            "metal_monte_carlo",
            "metal_performance_context",
            "optimize_for_financial_computing",
            "optimize_for_matrix_operations",
            "optimize_for_monte_carlo",
            "optimize_for_technical_indicators",
            "optimize_gpu_memory_layout",
            "optimize_portfolio_metal",
            "price_option_metal",
        ),
        "compat",
    ),
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Load a public name from its room on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

"""The flat function API: what the other rooms do, as plain functions that need no trading system.

Every function takes the best device here, or the CPU where there is no other, and says in its result which one it
was. Coroutines compute on one thread beside the running event loop.
"""

from nautilus_metal.compat.allocation import PortfolioOptimizationResult, optimize_portfolio_metal
from nautilus_metal.compat.config import MetalConfig
from nautilus_metal.compat.indicators import (
    calculate_bollinger_bands_metal,
    calculate_macd_metal,
    calculate_rsi_metal,
)
from nautilus_metal.compat.manager import MetalDeviceManager, is_metal_available, metal_device_manager
from nautilus_metal.compat.memory import (
    allocate_gpu_tensor,
    clear_gpu_memory_cache,
    get_memory_optimization_recommendations,
    get_memory_pool_stats,
    optimize_gpu_memory_layout,
)
from nautilus_metal.compat.networks import (
    create_financial_lstm,
    create_financial_transformer,
    create_metal_model_wrapper,
    create_metal_training_manager,
)
from nautilus_metal.compat.options import price_option_metal
from nautilus_metal.compat.paths import MetalMonteCarlo, metal_monte_carlo
from nautilus_metal.compat.performance import Operation, PerformanceMetrics
from nautilus_metal.compat.portfolio import calculate_correlation_metal, calculate_var_metal
from nautilus_metal.compat.results import (
    CorrelationResult,
    OptionsPricingResult,
    PricePathsResult,
    TechnicalIndicatorResult,
    VarResult,
)
from nautilus_metal.compat.status import (
    get_acceleration_status,
    get_metal_capabilities,
    initialize_metal_acceleration,
    is_m4_max_detected,
    metal_performance_context,
    optimize_for_financial_computing,
    optimize_for_matrix_operations,
    optimize_for_monte_carlo,
    optimize_for_technical_indicators,
)

__all__ = [
    "CorrelationResult",
    "MetalConfig",
    "MetalDeviceManager",
    "MetalMonteCarlo",
    "Operation",
    "OptionsPricingResult",
    "PerformanceMetrics",
    "PortfolioOptimizationResult",
    "PricePathsResult",
    "TechnicalIndicatorResult",
    "VarResult",
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
]

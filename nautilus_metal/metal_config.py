"""The settings of the function API, where users of older code look for them."""

from nautilus_metal.compat import is_metal_available, metal_device_manager, metal_performance_context

__all__ = ["is_metal_available", "metal_device_manager", "metal_performance_context"]

"""Neural networks for time series: networks, inference on a device, training, features and their evaluation."""

from nautilus_metal.models.networks import create_financial_lstm, create_financial_transformer

__all__ = ["create_financial_lstm", "create_financial_transformer"]

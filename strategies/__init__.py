"""Strategies in plain NautilusTrader code, with this package's indicators and risk reports in them."""

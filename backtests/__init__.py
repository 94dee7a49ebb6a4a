"""Backtests that run by `python backtests/NAME.py` and by `nautilus-metal backtest NAME`."""

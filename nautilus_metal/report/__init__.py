"""What a backtest leaves behind: verdicts on its risk reports, tables, a page and a picture."""

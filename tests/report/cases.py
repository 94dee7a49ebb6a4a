"""Findings as a run's summary has them, made up."""

PARTS = {"positions": 3.0, "volatility": 4.0, "correlation": -1.0, "model": 0.0, "noise": 0.5}
CHANGES = [
    {
        "date_before": "1990-01-04",
        "date": "1990-01-05",
        "level": 0.99,
        "before": 20.0,
        "after": 26.5,
        "change": 6.5,
        "parts": PARTS,
        "standard_errors": dict.fromkeys(PARTS, 1.25),
        "method": "shapley",
        "base_currency": "USD",
    }
]
WORST = {
    "report": "1990-11-10",
    "model": "normal",
    "base_currency": "USD",
    "scenarios": [
        {
            "scenario": 17 + k,
            "loss": 40.0 - k,
            "date": None,
            "periods_ago": None,
            "positions": {"AAA.SIM": 50.0 - k, "BBB.SIM": -10.0},
            "returns": {"AAA.SIM": -0.05, "BBB.SIM": 0.1},
            "volatility_factors": {},
        }
        for k in range(10)
    ],
}

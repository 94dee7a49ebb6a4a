"""RiskActors by models that are fitted anew at every tick, in a whole backtest."""

import pytest

from nautilus_metal.actors import RiskActor, RiskActorConfig

A, B = "AAA.XNYS", "BBB.XNYS"


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("garch", {"innovations": "t"}),
        ("gjr", {"innovations": "empirical"}),
        ("jump_diffusion", {}),
        ("t_copula", {}),
    ],
)
def test_a_backtest_has_its_reports(system, script, daily, random_walk, model, options):
    run = system()
    for seed, name in enumerate((A, B)):
        run.add(name, random_walk(seed, 62), first_day=1)
    settings = {"window": 60, "min_observations": 50, "levels": (0.95,), "warm_up": False, "scenarios": 1_000}
    actor = RiskActor(
        RiskActorConfig(bar_types=(daily(A), daily(B)), model=model, model_options=options, **settings)
    )
    run.run([actor], [script({A: {1: 10}, B: {1: -5}})])
    stated = [report for report in run.reports if report.levels]
    assert len(stated) == 62 - 50
    for report in stated:
        assert report.model == model
        assert report.es(0.95) > report.var(0.95) > 0

"""Risk reports in NautilusTrader's own tearsheet: custom statistics, and a chart of P&L against VaR."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from nautilus_trader.analysis.config import GridLayout, TearsheetConfig, TearsheetCustomChart
from nautilus_trader.analysis.statistic import PortfolioStatistic

from nautilus_metal.host.reading import last_price
from nautilus_metal.host.version import MAJOR
from nautilus_metal.report.charts import PALETTE
from nautilus_metal.report.series import SeriesCollector
from nautilus_metal.report.verdict import ModelResult, judge, percent
from nautilus_metal.risk.validation import fissler_ziegel_score

if TYPE_CHECKING or MAJOR == 1:
    from nautilus_metal.host.v1_tearsheet import follow, owner_of, register_chart, registrar
else:
    from nautilus_metal.host.v2_tearsheet import follow, owner_of, register_chart, registrar

CHART, REPORTS = "nautilus_metal_risk", "Risk Reports"
_ROW_HEIGHTS = (0.48, 0.14, 0.12, 0.10, 0.16)


class RiskTearsheet:
    """Hears the risk reports and prices of one backtest, for the tearsheet at its end.

    Made by `add_risk_to_tearsheet`. Each `RiskReport` is paired with the prices at its source's next one: clean P&L,
    of the positions as they were.
    """

    def __init__(self, engine: Any) -> None:
        self._register_statistic, self._cache = registrar(engine), engine.cache
        self._closes: dict[str, float] = {}
        self._levels: set[tuple[str, float]] = set()
        self.reset()
        follow(engine, self._on_bar, self._on_report)
        self._register_statistic(_Statistic(REPORTS, lambda: float(self._count), self))

    def reset(self) -> None:
        """Forget every report."""
        self._collector = SeriesCollector()
        self._last: dict[str, int] = {}
        self._held: set[str] = set()
        self._prices: dict[int, dict[str, float]] = {}
        self._count, self._judged, self._results = 0, -1, list[ModelResult]()

    def results(self) -> list[ModelResult]:
        """Score the reports so far, one result for each source."""
        if self._judged != self._count:
            self._judged, self._results = self._count, self._judge()
        return self._results

    def config(self, **settings: Any) -> TearsheetConfig:
        """Return the host's tearsheet with the risk chart below the others.

        Parameters
        ----------
        **settings
            Of `TearsheetConfig`; charts and layout are the default ones with a row more.
        """
        charts = [*TearsheetConfig().charts, TearsheetCustomChart(chart=CHART)]
        layout = GridLayout(
            rows=len(_ROW_HEIGHTS), cols=2, heights=list(_ROW_HEIGHTS), vertical_spacing=0.07, horizontal_spacing=0.1
        )
        chosen: dict[str, Any] = {"charts": charts, "layout": layout, "height": 2_300}
        return TearsheetConfig(**chosen | settings)

    def _on_bar(self, bar: Any) -> None:
        self._closes[str(bar.bar_type.instrument_id)] = float(bar.close)

    def _on_report(self, report: Any) -> None:
        if report.ts_event < self._last.get(report.source, 0):
            self.reset()  # the engine runs a second time
        self._last[report.source] = report.ts_event
        self._collector.add(report)
        self._count += 1
        known = self._prices.setdefault(report.ts_event, {})
        known |= self._closes | {name: line["price"] for name, line in report.positions.items()}
        self._held |= set(report.positions)
        for name in self._held - known.keys():
            if (price := last_price(self._cache, name)) is not None:
                known[name] = price
        for key in report.levels:
            self._register(report.source, float(key))

    def _register(self, source: str, level: float) -> None:
        if (source, level) in self._levels:
            return
        self._levels.add((source, level))
        for name, figure in _FIGURES.items():
            title = name.format(percent(level), source)
            self._register_statistic(_Statistic(title, self._asker(source, level, figure), self))

    def _asker(
        self, source: str, level: float, figure: Callable[[ModelResult, float], float | None]
    ) -> Callable[[], float | None]:
        def ask() -> float | None:
            found = [result for result in self.results() if result.series.source == source]
            return figure(found[0], level) if found and len(found[0].pnl.ts) else None

        return ask

    def _judge(self) -> list[ModelResult]:
        ts = np.array(sorted(self._prices), dtype=np.int64)
        names = sorted({name for prices in self._prices.values() for name in prices})
        closes, last = np.full((len(ts), len(names)), np.nan), dict[str, float]()
        for row, stamp in enumerate(ts.tolist()):
            last |= self._prices[stamp]
            closes[row] = [last.get(name, np.nan) for name in names]
        return [judge(series, ts, names, closes) for series in self._collector.series()]


class _Statistic(PortfolioStatistic):
    """One number among the host's general statistics."""

    def __init__(self, title: str, ask: Callable[[], float | None], owner: RiskTearsheet) -> None:
        self.owner = owner
        self._title, self._ask = title, ask

    @property
    def name(self) -> str:
        """What the tearsheet calls it."""
        return self._title

    def calculate_from_positions(self, positions: Any) -> float | None:
        """Return the figure; None where nothing can be said."""
        return self._ask()


def _mean_score(result: ModelResult, level: float) -> float | None:
    var, es = result.var(level), result.es(level)
    good = (var > 0) & (es > var)
    if not good.any():
        return None
    return float(fissler_ziegel_score(result.pnl.total[good], var[good], es[good], level).mean())


_FIGURES: dict[str, Callable[[ModelResult, float], float | None]] = {
    "{} VaR Exceptions ({})": lambda result, level: float(result.scores[level].exceptions),
    "{} VaR Exceptions Expected ({})": lambda result, level: result.scores[level].expected,
    "{} VaR Kupiec p ({})": lambda result, level: result.scores[level].kupiec_p,
    "{} VaR Christoffersen p ({})": lambda result, level: result.scores[level].christoffersen_p,
    "{} ES Mean Score ({})": _mean_score,
}


def add_risk_to_tearsheet(engine: Any) -> RiskTearsheet:
    """Bring the risk reports of a backtest into the host's tearsheet.

    Call it before the run. By source and level the general statistics then have the VaR's exceptions, how many were
    expected, the p-values of Kupiec and Christoffersen, and the mean Fissler-Ziegel score of the expected shortfall;
    the chart `CHART` shows clean P&L against VaR, exceptions marked.

    Parameters
    ----------
    engine : BacktestEngine
        With a RiskActor.

    Returns
    -------
    RiskTearsheet
        Its `config()` goes to `create_tearsheet(engine, config=...)`.
    """
    return RiskTearsheet(engine)


def _render(fig: Any, row: int, col: int, engine: Any = None, **_: Any) -> None:
    """Draw the chart: what the host's registry calls."""
    import plotly.graph_objects as go

    owner = None if engine is None else owner_of(engine, REPORTS)
    for i, result in enumerate([] if owner is None else owner.results()):
        if not len(result.pnl.ts):
            continue
        days, source = result.pnl.ts.astype("datetime64[ns]"), result.series.source
        if i == 0:
            bars = go.Bar(x=days, y=result.pnl.total, name=f"Clean P&L ({source})", marker_color="#9aa3ad")
            fig.add_trace(bars, row=row, col=col)
        for level in result.series.levels:
            name, colour = f"{percent(level)} VaR ({source})", PALETTE[i % len(PALETTE)]
            fig.add_trace(go.Scatter(x=days, y=-result.var(level), name=name, line={"color": colour, "width": 1}),
                          row=row, col=col)  # fmt: skip
            hits = result.hits(level)
            fig.add_trace(go.Scatter(x=days[hits], y=result.pnl.total[hits], name=f"Beyond {name}", mode="markers",
                                     marker={"color": "#c13f00", "size": 5}), row=row, col=col)  # fmt: skip
    fig.update_yaxes(title_text="P&L and VaR", row=row, col=col)


register_chart(CHART, "scatter", "P&L Against Value at Risk", _render)

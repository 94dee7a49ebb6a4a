"""Is the risk number right: a model's score as days close, and the change to another model."""

from nautilus_metal.host import Data, custom_data, message_topic

MODEL_VERDICT_TOPIC = message_topic("ModelVerdict")
MODEL_SWITCH_TOPIC = message_topic("ModelSwitch")


@custom_data
class ModelVerdict(Data):
    """The score of a RiskActor's model, after a day (or whatever its horizon spans) has closed.

    A day's clean P&L is what the positions of a `RiskReport` made until its horizon had passed, at its own exchange
    rates and without later trades. It is None where a position has no price of that close: such a day is counted,
    and in no test.

    Parameters
    ----------
    ts_event : int
        UNIX nanoseconds of the close.
    ts_init : int
        UNIX nanoseconds at which the verdict was made.
    source : str
        The ID of the ValidationActor.
    risk_actor, model : str
        Whose figures, and by which model.
    horizon : int
        Periods of the figures.
    base_currency : str
        The currency of every amount.
    since : int
        UNIX nanoseconds of the prices of the first report scored.
    days, unknown_days, empty_days, uncovered_days : int
        Days scored; without a P&L; on which nothing was held; and on which nothing that was held was covered.
    pnl : float or None
        Clean P&L of the day that has closed.
    actual_pnl : float or None
        Change of the accounts' equity over the same time, trades and fees included; None where it is not asked for
        or not known.
    unknown : dict
        By instrument: why the day's P&L is not known.
    levels : dict
        By level, over all days scored: `days`, `exceptions`, `expected`, `actual_days`, `actual_exceptions` (of the
        actual P&L), `shortfall_days`, means `quantile_score` and `shortfall_score`, `log_wealth` of the e-process and
        its `alarm`. Over the last `recent_days`: `recent_exceptions` and the Basel `zone`. Over the last
        `tested_days`: exact p-values `kupiec_p` and `christoffersen_p`, Acerbi and Szekely's unconditional `z` and
        the `z_critical` below which it rejects at 5%. `var` and `es` as stated for the last day scored. What too few
        days leave unknown is None.
    log_wealth : float
        Natural logarithm of the mean of the levels' wealth.
    bound : float
        Wealth at which the alarm is raised.
    alarm : bool
        Whether the mean wealth has ever reached the bound.
    next_model : str
        The model that states risk from now on; empty where it stays.
    comment : str
        In words, where there is something to say.
    milliseconds : float
        Wall time of the tests.
    """

    source: str
    risk_actor: str
    model: str
    horizon: int
    base_currency: str
    since: int
    days: int
    unknown_days: int
    empty_days: int
    uncovered_days: int
    pnl: float
    actual_pnl: float
    unknown: dict
    levels: dict
    log_wealth: float
    bound: float
    alarm: bool
    next_model: str
    comment: str
    milliseconds: float


@custom_data
class ModelSwitch(Data):
    """A RiskActor states risk by another model: in every report whose snapshot is not older than this message.

    Parameters
    ----------
    ts_event, ts_init : int
        UNIX nanoseconds.
    source : str
        The ID of the RiskActor.
    before, model : str
        The model until now, and from now on.
    options : dict
        Of the new model.
    reason : str
        In words.
    """

    source: str
    before: str
    model: str
    options: dict
    reason: str

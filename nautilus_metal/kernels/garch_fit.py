"""Maximum likelihood of GARCH(1,1) and GJR models, many series at once."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.garch import (
    INNOVATIONS,
    LEAST_DEGREES,
    MOST_DEGREES,
    GarchParameters,
    Likelihood,
    LikelihoodFunction,
    backcast,
    garch_likelihood,
)

LEAST_PERIODS = 50
_STARTS = ((0.02, 0.99), (0.05, 0.97), (0.1, 0.95), (0.1, 0.8), (0.2, 0.95), (0.3, 0.5), (0.01, 0.6))
"""First alpha (plus gamma / 2), and persistence; the constant keeps the series' variance."""
_BETWEEN = 4  # steps between two looks at which climbers need not go on
_CLOSE, _HOPELESS = 0.05, 20.0  # to a better climber, and below it, where there is no need to go on
_START_DEGREES = 6.0
_INSIDE = 7.0  # coordinates beyond are near a bound
_STEPS, _LONGEST, _FARTHEST = 200, 2.0, 25.0
_DAMPING, _MOST_DAMPING = 1e-2, 1e8
_TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-4}  # of the log-likelihood
_NOISE = {torch.float64: 0.0, torch.float32: 5e-4}  # rounding of a log-likelihood of a thousand periods


class GarchFit(NamedTuple):
    """Fitted models of series of shape (...).

    Attributes
    ----------
    parameters : GarchParameters
        Each of shape (...), in the units of the series; a series that never moves has a variance of zero.
    start : Tensor
        Variance before the first period, shape (...).
    log_likelihood : Tensor
        Shape (...); NaN where the series never moves.
    converged : Tensor of bool
        Shape (...).
    iterations : int
        Of the whole batch.
    """

    parameters: GarchParameters
    start: Tensor
    log_likelihood: Tensor
    converged: Tensor
    iterations: int


def fit_garch(
    returns: Tensor,
    asymmetric: bool = False,
    innovations: str = "normal",
    mean: str = "zero",
    likelihood: LikelihoodFunction = garch_likelihood,
) -> GarchFit:
    r"""Fit a model to each series by maximum likelihood.

    In coordinates without bounds - the logarithm of the constant, a softmax of the weights of rises, falls and past
    variance and what they leave to 1, a logistic map of the degrees of freedom - by scoring steps with Marquardt's
    damping, from seven starts. Weights are at least zero (gamma may be negative down to -alpha), and the
    persistence stays below 1. A series' result does not depend on which others are fitted with it.

    Parameters
    ----------
    returns : Tensor
        Shape (..., periods), at least 50, oldest first, float64 or float32 on any device.
    asymmetric : bool
        GJR in place of GARCH.
    innovations : {"normal", "t"}
        Their law; "t" is standardised to unit variance, its degrees of freedom between 2.05 and 500.
    mean : {"zero", "constant"}
        Expected return; a constant is fitted jointly.
    likelihood : callable
        `garch_likelihood` or a faster one that gives the same.

    Returns
    -------
    GarchFit
        Of shape (...).

    Raises
    ------
    InputError
        If there are too few periods or an option is unknown.

    References
    ----------
    Marquardt (1963), "An algorithm for least-squares estimation of nonlinear parameters", SIAM Journal 11(2).
    Bollerslev and Wooldridge (1992), "Quasi-maximum likelihood estimation and inference in dynamic models with
    time-varying covariances", Econometric Reviews 11(2): consistent whatever the innovations' law.
    """
    if innovations not in INNOVATIONS:
        raise InputError(f"`innovations` must be one of {', '.join(INNOVATIONS)}, was {innovations!r}")
    shape, periods = returns.shape[:-1], returns.shape[-1]
    if periods < LEAST_PERIODS:
        raise InputError(f"`returns` must hold at least {LEAST_PERIODS} periods for a GARCH fit, held {periods}")
    series = returns.reshape(-1, periods)
    start = backcast(series, mean)
    scale = series.std(dim=-1, correction=0) if mean == "constant" else series.square().mean(dim=-1).sqrt()
    moving = torch.nonzero((scale > 0) & (start > 0)).flatten()
    chart = _Chart(asymmetric, innovations == "t", mean == "constant")
    units = scale[moving]
    found = _search(series[moving] / units.unsqueeze(-1), start[moving] / units.square(), chart, likelihood)
    natural = torch.zeros(len(series), 6, dtype=series.dtype, device=series.device)
    natural[:, 5] = math.inf
    one = torch.ones_like(units)
    natural[moving] = found.natural * torch.stack([units, units.square(), one, one, one, one], -1)
    value = torch.full_like(scale, math.nan)
    value[moving] = found.value - periods * units.log()
    converged = torch.zeros_like(scale, dtype=torch.bool)
    converged[moving] = found.converged
    parameters = GarchParameters(*(column.reshape(shape) for column in natural.unbind(-1)))
    return GarchFit(
        parameters, start.reshape(shape), value.reshape(shape), converged.reshape(shape), found.iterations
    )


# alpha, gamma and beta of the shares that rises, falls (GJR alone) and the last variance have
_GARCH_MIX = ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0))
_GJR_MIX = ((2.0, 0.0, 0.0), (-2.0, 2.0, 0.0), (0.0, 0.0, 1.0))


class _Chart:
    """Coordinates without bounds of the parameters."""

    def __init__(self, asymmetric: bool, student: bool, has_mean: bool) -> None:
        self.asymmetric, self.student, self.has_mean = asymmetric, student, has_mean
        self.free = [*([0] if has_mean else []), 1, 2, *([3] if asymmetric else []), 4, *([5] if student else [])]
        self.mix = _GJR_MIX if asymmetric else _GARCH_MIX

    def natural(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return parameters, shape (B, 6), and their derivatives by the coordinates, shape (B, 6, coordinates)."""
        count, first = len(place), int(self.has_mean)
        shares = 2 + self.asymmetric
        mix = torch.tensor(self.mix, dtype=place.dtype, device=place.device)
        natural = place.new_zeros(count, 6)
        slopes = place.new_zeros(count, 6, place.shape[1])
        if self.has_mean:
            natural[:, 0], slopes[:, 0, 0] = place[:, 0], 1.0
        natural[:, 1] = slopes[:, 1, first] = place[:, first].exp()
        columns = slice(first + 1, first + 1 + shares)
        logits = torch.cat([place[:, columns], torch.zeros_like(place[:, :1])], -1)
        share = torch.softmax(logits, -1)[:, :shares]
        natural[:, 2:5] = share @ mix.T
        slopes[:, 2:5, columns] = mix @ (torch.diag_embed(share) - share.unsqueeze(-1) * share.unsqueeze(-2))
        natural[:, 5] = math.inf
        if self.student:
            part = torch.sigmoid(place[:, -1])
            natural[:, 5] = LEAST_DEGREES + (MOST_DEGREES - LEAST_DEGREES) * part
            slopes[:, 5, -1] = (MOST_DEGREES - LEAST_DEGREES) * part * (1 - part)
        return natural, slopes

    def inside(self, place: Tensor) -> Tensor:
        """Bring coordinates back from the bounds of the parameters, the larger shares keeping their proportions."""
        first = int(self.has_mean)
        columns = slice(first + 1, first + 3 + self.asymmetric)
        back = place.clone()
        back[:, first].clamp_(min=-_INSIDE)
        logits = place[:, columns]
        back[:, columns] = (logits - (logits.amax(-1, keepdim=True) - _INSIDE).clamp(min=0)).clamp(min=-_INSIDE)
        return back

    def starts(self, like: Tensor) -> Tensor:
        """Coordinates of the starts for a series of unit variance, shape (starts, coordinates)."""
        rows = []
        for weight, persistence in _STARTS:
            shares = [weight / 4, 3 * weight / 4] if self.asymmetric else [weight]
            logits = [math.log(share / (1 - persistence)) for share in (*shares, persistence - weight)]
            part = (_START_DEGREES - LEAST_DEGREES) / (MOST_DEGREES - LEAST_DEGREES)
            student = [math.log(part / (1 - part))] if self.student else []
            rows.append([*([0.0] if self.has_mean else []), math.log(1 - persistence), *logits, *student])
        return torch.tensor(rows, dtype=like.dtype, device=like.device)


class _Found(NamedTuple):
    natural: Tensor
    value: Tensor
    converged: Tensor
    iterations: int


class _Climb:
    """Climbers on the log-likelihoods of their series, in the coordinates of a chart.

    Newton steps with Marquardt's damping; the curvature is the information at the start, corrected by Broyden,
    Fletcher, Goldfarb and Shanno's update after each step.
    """

    def __init__(
        self,
        series: Tensor,
        start: Tensor,
        chart: _Chart,
        likelihood: LikelihoodFunction,
        which: Tensor,
        place: Tensor,
    ) -> None:
        self.series, self.start, self.chart, self.likelihood = series, start, chart, likelihood
        self.which, self.place = which, place
        self.value, self.score, self.curvature = self.look(place, torch.arange(len(place), device=place.device))
        self.damping = torch.full_like(self.value, _DAMPING)
        self.converged = torch.zeros_like(self.value, dtype=torch.bool)

    def look(self, place: Tensor, rows: Tensor) -> Likelihood:
        """Evaluate the climbers `rows` at the coordinates `place`."""
        natural, slopes = self.chart.natural(place)
        which = self.which[rows]
        value, score, information = self.likelihood(self.series[which], natural, self.start[which], self.chart.free)
        turned = slopes.transpose(1, 2)
        return Likelihood(value, (turned @ score.unsqueeze(-1)).squeeze(-1), turned @ information @ slopes)

    def step(self, active: Tensor) -> Tensor:
        """Take one step of the climbers `active`, and return those that go on."""
        kind, damping, score = self.series.dtype, self.damping[active], self.score[active]
        matrix = self.curvature[active]
        diagonal = matrix.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12)
        move = torch.linalg.solve(matrix + torch.diag_embed(damping.unsqueeze(-1) * diagonal + 1e-10), score)
        move = move.nan_to_num() * (_LONGEST / move.abs().amax(-1, keepdim=True).clamp(min=_LONGEST))
        place = (self.place[active] + move).clamp(-_FARTHEST, _FARTHEST)
        move = place - self.place[active]
        trial = self.look(place, active)
        gain, promised = trial.value - self.value[active], (score * move).sum(-1)
        good = gain > -_NOISE[kind]  # a NaN is none
        self.curvature[active] = _updated(matrix, move, score - trial.score)
        for now, then in zip((self.place, self.value, self.score), (place, trial.value, trial.score), strict=True):
            now[active[good]] = then[good]
        self.damping[active] = torch.where(good, damping / 10, damping * 6).clamp(min=1e-9)
        small = (promised * (1 + damping) < _TOLERANCE[kind]) & (good | (promised < _TOLERANCE[kind]))
        self.converged[active[small]] = True
        return active[~small & (self.damping[active] < _MOST_DAMPING)]

    def finish(self, active: Tensor) -> int:
        """Let the climbers `active` go on to the end, and return how many steps that took."""
        steps = 0
        while len(active) and steps < _STEPS:
            active = self.step(active)
            steps += 1
        return steps


def _updated(matrix: Tensor, move: Tensor, fall: Tensor) -> Tensor:
    """Curvature after a move along which the score fell by `fall`; kept where the function is not concave there."""
    bent = (matrix @ move.unsqueeze(-1)).squeeze(-1)
    along, before = (fall * move).sum(-1), (bent * move).sum(-1)
    good = (along > 1e-6 * before) & (before > 0) & along.isfinite()
    along, before = (torch.where(good, one, 1.0)[:, None, None] for one in (along, before))
    change = fall.unsqueeze(-1) * fall.unsqueeze(-2) / along - bent.unsqueeze(-1) * bent.unsqueeze(-2) / before
    return torch.where(good[:, None, None], matrix + change, matrix)


def _search(series: Tensor, start: Tensor, chart: _Chart, likelihood: LikelihoodFunction) -> _Found:
    """Climb from every start, giving up the less promising on the way; keep the highest summit."""
    count = len(series)
    if not count:
        return _Found(series.new_zeros(0, 6), series.new_zeros(0), series.new_zeros(0, dtype=torch.bool), 0)
    places = chart.starts(series).repeat_interleave(count, dim=0)
    which = torch.arange(count, device=series.device).repeat(len(_STARTS))
    climb = _Climb(series, start, chart, likelihood, which, places)
    active = torch.arange(len(which), device=series.device)
    steps = 0
    while len(active) and steps < _STEPS:
        active = climb.step(active)
        steps += 1
        if steps % _BETWEEN == 0:
            active = active[_promising(climb, count)[active]]
    best = climb.value.view(-1, count).nan_to_num(nan=-math.inf).argmax(dim=0) * count + which[:count]
    place, value, converged = climb.place[best], climb.value[best], climb.converged[best]
    inside = chart.inside(place)
    corner = torch.nonzero((inside != place).any(dim=-1)).flatten()  # where a slope is flat though there is a way up
    if len(corner):
        again = _Climb(series, start, chart, likelihood, corner, inside[corner])
        steps += again.finish(torch.arange(len(corner), device=series.device))
        better = again.value > value[corner]
        moved = corner[better]
        place[moved], value[moved] = again.place[better], again.value[better]
        converged[moved] = again.converged[better]
    return _Found(chart.natural(place)[0], value, converged, steps)


def _promising(climb: _Climb, count: int) -> Tensor:
    """Mark the climbers of each series that are neither far below its best one nor close to a better one."""
    value, place = climb.value.view(-1, count), climb.place.view(-1, count, climb.place.shape[-1])
    behind = value.unsqueeze(1) <= value.unsqueeze(0)
    earlier = torch.ones(len(value), len(value), dtype=torch.bool, device=value.device).tril(-1).unsqueeze(-1)
    behind &= earlier | (value.unsqueeze(1) < value.unsqueeze(0))  # of two alike the first goes on
    close = (place.unsqueeze(1) - place.unsqueeze(0)).abs().amax(-1) < _CLOSE
    return (~(behind & close).any(dim=1) & (value > value.amax(0) - _HOPELESS)).flatten()


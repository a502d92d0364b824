"""What the learning curves show: whether training was over, whether early ranks hold, and how train and val part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.distributions import sign_test, spearman, student_quantile, student_tail
from hpc_sweep.analysis.intervals import Z95
from hpc_sweep.analysis.testing import Deduction, graded, probability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpc_sweep.analysis.scores import Array
    from hpc_sweep.analysis.table import Configuration, Evidence

FEWEST_EPOCHS, FEWEST_CONFIGURATIONS = 4, 4
_SPEARMAN = 1.06  # the sd of Fisher's z of a rank correlation, times sqrt(n - 3) (Fieller 1957)


@dataclass(frozen=True)
class Curves:
    """The mean curve of every configuration over its replicates, larger is better; ``train`` where all have one.

    ``val`` ``[N, E]``, ``train`` ``[N, E]``: one value after each of E epochs.
    """

    val: Array
    train: Array | None
    names: tuple[str, str]

    @property
    def epochs(self) -> int:
        """E."""
        return int(self.val.shape[1])

    @property
    def tail(self) -> int:
        """How many of the last epochs show where a curve is going."""
        return max(FEWEST_EPOCHS, math.ceil(self.epochs / 3))

    @property
    def half(self) -> int:
        """The epoch, counted from 1, at half of the training."""
        return max(1, self.epochs // 2)


def curves_of(evidence: Evidence) -> Curves | None:
    """Return the curves of all configurations that ran the most epochs, None for fewer than four of either."""
    objective = evidence.objective
    names = (objective.metric, f"train/{objective.metric.partition('/')[2]}")
    scored = [one for one in evidence.configurations if one.n]
    longest = max((len(run.curve(names[0])) for one in scored for run in one.scored), default=0)
    found = [
        (val, _mean_curve(one, names[1], longest))
        for one in scored
        if (val := _mean_curve(one, names[0], longest)) is not None
    ]
    if longest < FEWEST_EPOCHS or len(found) < FEWEST_CONFIGURATIONS or objective.mode is None:
        return None
    sign = 1 if objective.mode == "max" else -1
    trains = [train for _, train in found if train is not None]
    train = sign * np.array(trains) if len(trains) == len(found) and names[0] != names[1] else None
    return Curves(sign * np.array([val for val, _ in found]), train, names)


def observations_of_learning(evidence: Evidence) -> Iterator[Deduction]:
    """Tell about convergence, the ranking at half of the epochs, and over- and underfitting."""
    curves = curves_of(evidence)
    if curves is None:
        return
    yield _convergence(curves)
    yield from _early_ranks(curves)
    if curves.train is not None:
        yield from _gap(curves, curves.train)


def slopes(curves: Array, tail: int) -> Array:
    """Return the least-squares slope per epoch over the last ``tail`` epochs, ``[N]``."""
    steps = np.arange(tail) - (tail - 1) / 2
    return np.asarray(curves[:, -tail:] @ steps / (steps @ steps), dtype=float)


def _mean_curve(one: Configuration, metric: str, epochs: int) -> list[float] | None:
    curves = [run.curve(metric) for run in one.scored]
    whole = [curve for curve in curves if len(curve) == epochs and all(map(math.isfinite, curve))]
    return [math.fsum(values) / len(whole) for values in zip(*whole, strict=True)] if whole else None


def _convergence(curves: Curves) -> Deduction:
    """Test by signs over the configurations whether curves still improve or already worsen over the last epochs."""
    rise = slopes(curves.val, curves.tail)
    moving = int(np.count_nonzero(rise))
    up = int(np.count_nonzero(rise > 0))
    p = sign_test(up, moving) if moving else 1.0
    way = "still improving" if 2 * up >= moving else "getting worse"
    count = up if 2 * up >= moving else moving - up
    numbers = (
        f"{count} of {len(rise)} configurations were {way} in {curves.names[0]} over the last {curves.tail} of "
        f"{curves.epochs} epochs, in the median by {abs(float(np.median(rise))):.2g} per epoch (sign test, "
        f"{probability(p)})"
    )
    grade = graded(p)
    if grade == "not resolved":
        text = f"Whether training had converged is not resolved: {numbers}."
    elif way == "still improving":
        text = f"Training had not converged: {numbers}. More epochs may change the ranking."
    else:
        text = f"Training went on for too long: {numbers}. Fewer epochs or more regularisation may help."
    evidence = {"test": "convergence", "improving": up, "n": len(rise), "p": p, "tail": curves.tail}
    return Deduction(text, grade, evidence | {"epochs": curves.epochs, "median_slope": float(np.median(rise))})


def _early_ranks(curves: Curves) -> Iterator[Deduction]:
    half, n = curves.half, len(curves.val)
    early, last = curves.val[:, half - 1], curves.val[:, -1]
    if np.ptp(early) == 0 or np.ptp(last) == 0:
        return
    rho, p = spearman(early, last)
    low, high = _fisher(rho, n)
    numbers = (
        f"Spearman's rho = {rho:.2f} (95 % interval {low:.2f} to {high:.2f}, {probability(p)}, n = {n} configurations)"
    )
    grade = graded(p) if rho > 0 else "not resolved"
    if grade == "not resolved":
        text = (
            f"Whether the ranking after epoch {half} tells that after epoch {curves.epochs} is not resolved: {numbers}."
        )
    else:
        text = f"The ranking after epoch {half} agrees with that after epoch {curves.epochs}: {numbers}."
    yield Deduction(
        text, grade, {"test": "early ranks", "epoch": half, "rho": rho, "interval": [low, high], "p": p, "n": n}
    )


def _fisher(rho: float, n: int) -> tuple[float, float]:
    if n <= 3 or abs(rho) >= 1:  # noqa: PLR2004 because Fisher's z has n - 3 degrees of freedom
        return (rho, rho) if abs(rho) >= 1 else (-1.0, 1.0)
    half = Z95 * _SPEARMAN / math.sqrt(n - 3)
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def _gap(curves: Curves, train: Array) -> Iterator[Deduction]:
    """Tell how far the training set is fitted better than the other, and which curves part."""
    gap = train[:, -1] - curves.val[:, -1]
    metric, other = curves.names
    if np.ptp(gap) > 0:
        mean, n = float(gap.mean()), len(gap)
        error = float(gap.std(ddof=1)) / math.sqrt(n)
        p, half = 2 * student_tail(abs(mean) / error, n - 1), student_quantile(0.975, n - 1) * error
        told = f"(95 % interval {mean - half:.3g} to {mean + half:.3g}, {probability(p)}, n = {n} configurations)"
        numbers = f"by {abs(mean):.3g} {told}"
        better, worse = (other, metric) if mean >= 0 else (metric, other)
        grade = graded(p)
        lead = (
            f"{better} is better than {worse} at the last epoch"
            if grade != "not resolved"
            else (f"Whether {other} is better than {metric} at the last epoch is not resolved: it is")
        )
        yield Deduction(
            f"{lead} {numbers}.",
            grade,
            {"test": "gap", "mean": mean, "interval": [mean - half, mean + half], "p": p, "n": n},
        )
    yield _parting(curves, train)


def _parting(curves: Curves, train: Array) -> Deduction:
    """Test by signs whether most configurations overfit, or underfit, at the end."""
    rise, climb = slopes(curves.val, curves.tail), slopes(train, curves.tail)
    n = len(rise)
    over, under = int(np.sum((climb > 0) & (rise < 0))), int(np.sum((climb > 0) & (rise > 0)))
    count, what = (over, "overfit") if over > under else (under, "underfit")
    p = sign_test(count, n, one_sided=True)
    metric, other = curves.names
    went = (
        f"{other} improved while {metric} got worse"
        if what == "overfit"
        else f"{other} and {metric} both still improved"
    )
    numbers = (
        f"in {count} of {n} configurations {went} over the last {curves.tail} epochs (sign test, {probability(p)})"
    )
    grade = graded(p)
    lead = (
        f"Most configurations {what}"
        if grade != "not resolved"
        else "Neither over- nor underfitting of most is resolved"
    )
    evidence = {"test": "over- and underfitting", "overfit": over, "underfit": under, "n": n, "p": p}
    return Deduction(f"{lead}: {numbers}.", grade, evidence)

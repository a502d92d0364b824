"""How well the decision keeps its promises: sweeps with a planted truth, judged, and held against the bars.

    nice -n 19 env OMP_NUM_THREADS=1 python benchmarks/decision.py --sweeps 2000 --sizes 18 60 --sds 0.3 1 3
    python benchmarks/decision.py --quick            # 300 sweeps at N = 18 and 60, R = 3, sd = 1: seconds

The truth of a sweep (all in points, .01): main effects whose levels have an sd of .5 or 1.5 for each hyperparameter,
none for the last one; interactions of two (.4) and the rest (.25); in 70 % of sweeps a pair of levels collapses, and
5 % of the configurations by themselves (-2 less an exponential of 6, noise x 2.5). The noise between replicates is
``sd`` times a lognormal(.3) of the configuration; in each replicate all configurations share a shift of .5 sd.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student

from hpc_sweep.analysis.align import align
from hpc_sweep.analysis.effects import effects
from hpc_sweep.analysis.judge import Judgement, Scores, judge
from hpc_sweep.analysis.scores import tabulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

POINT = 0.01
ROOTS = (20_000_003, 20_000_033, 20_000_047)
GRIDS = {18: (3, 3, 2), 60: (4, 5, 3), 180: (4, 5, 3, 3)}
BASE = 0.8
LEFT_OUT = 0.2
COMPLETE, MIDDLE, WIDE_GAP = 3, 60, 3  # the replicates, size and gap from which the stricter bars are promised
SCENARIOS = ("planted", "null", "ties", "missing", "t5", "gap2", "gap3", "gap4", "random")
TIED = 4


@dataclass(frozen=True)
class Cell:
    """One cell of the benchmark: a kind of truth, its size N, the replicates R, the noise sd in points."""

    scenario: str
    size: int
    replicates: int
    sd: float


@dataclass(frozen=True)
class Truth:
    """What is true of a sweep: scores ``theta`` ``[N]``, noise ``sd`` ``[N]``, and ``shifts`` ``[R]`` of replicates."""

    configurations: list[dict[str, Any]]
    theta: Array
    sd: Array
    shifts: Array


def sweeps(cell: Cell, count: int) -> Iterator[tuple[Truth, Scores]]:
    """Yield ``count`` planted sweeps; the b-th is drawn from default_rng([root, N, R, sd * 1e4, b])."""
    for b in range(count):
        root = ROOTS[b % len(ROOTS)]
        rng = np.random.default_rng([root, cell.size, cell.replicates, round(cell.sd * POINT * 1e4), b])
        truth = plant(cell, rng)
        yield truth, observe(truth, cell, rng)


def plant(cell: Cell, rng: np.random.Generator) -> Truth:
    """Draw the truth of one sweep."""
    configurations, (theta, fallen) = _searched(cell.size, rng) if cell.scenario == "random" else _grid(cell.size, rng)
    if cell.scenario == "null":
        theta, fallen = np.zeros(cell.size), np.zeros(cell.size, dtype=bool)
    order = np.argsort(-theta)
    if cell.scenario == "ties":
        theta[order[:TIED]] = theta[order[0]]
    noise = cell.sd * POINT * rng.lognormal(0, 0.3, cell.size) * np.where(fallen, 2.5, 1)
    if cell.scenario.startswith("gap"):
        alone = rng.integers(cell.size)
        theta[alone] = np.delete(theta, alone).max() + float(cell.scenario[3:]) * cell.sd * POINT
        noise[alone] = cell.sd * POINT
    shifts = rng.normal(0, 0.5 * cell.sd * POINT, cell.replicates)
    return Truth(configurations, BASE + theta, noise, shifts)


def _grid(size: int, rng: np.random.Generator) -> tuple[list[dict[str, Any]], tuple[Array, Any]]:
    """Return the configurations of a grid, and their effects."""
    grid = GRIDS[size]
    levels = np.array(list(itertools.product(*map(range, grid))))
    names = "abcdefgh"[: len(grid)]
    return [dict(zip(names, map(int, row), strict=True)) for row in levels], _planted(grid, levels, rng)


def _searched(size: int, rng: np.random.Generator) -> tuple[list[dict[str, Any]], tuple[Array, Any]]:
    """Return a random search: parabolas in x and y, products of x, y and z, three optimizers, the rest (.25)."""
    place = rng.random((size, 3))
    optimizer = rng.integers(3, size=size)
    total = rng.normal(0, 0.25, size) + rng.normal(0, 0.5, 3)[optimizer]
    for axis in range(2):
        total -= rng.choice([3, 12]) * (place[:, axis] - rng.uniform(-0.2, 1.2)) ** 2
    for j, k in itertools.combinations(range(3), 2):
        total += 2 * rng.normal() * (place[:, j] - 0.5) * (place[:, k] - 0.5)
    named = [dict(zip("xyz", map(float, row), strict=True)) for row in place]
    configurations = [{**row, "optimizer": int(choice)} for row, choice in zip(named, optimizer, strict=True)]
    return configurations, ((total - total.mean()) * POINT, np.zeros(size, dtype=bool))


def _planted(grid: tuple[int, ...], levels: npt.NDArray[np.intp], rng: np.random.Generator) -> tuple[Array, Any]:
    """Return effects in units of the score, and which configurations collapsed."""
    size = len(levels)
    total = rng.normal(0, 0.25, size)
    for factor, count in enumerate(grid[:-1]):
        total += rng.normal(0, rng.choice([0.5, 1.5]), count)[levels[:, factor]]
    for j, k in itertools.combinations(range(len(grid)), 2):
        total += rng.normal(0, 0.4, (grid[j], grid[k]))[levels[:, j], levels[:, k]]
    fallen = rng.random(size) < 0.05  # noqa: PLR2004
    if rng.random() < 0.7:  # noqa: PLR2004
        j, k = rng.choice(len(grid), 2, replace=False)
        fallen |= (levels[:, j] == rng.integers(grid[j])) & (levels[:, k] == rng.integers(grid[k]))
    total -= np.where(fallen, 2 + rng.exponential(6, size), 0)
    return total * POINT, fallen


def observe(truth: Truth, cell: Cell, rng: np.random.Generator) -> Scores:
    """Run the sweep: every configuration with every replicate, less what the scenario leaves out."""
    shape = (cell.size, cell.replicates)
    draws = rng.standard_t(5, shape) / math.sqrt(5 / 3) if cell.scenario == "t5" else rng.standard_normal(shape)
    scores = truth.theta[:, None] + truth.shifts[None, :] + truth.sd[:, None] * draws
    ran = rng.random(shape) >= LEFT_OUT if cell.scenario == "missing" else np.ones(shape, dtype=bool)
    values = [(int(c), int(r), float(scores[c, r])) for c, r in zip(*np.nonzero(ran), strict=True)]
    return Scores(truth.configurations, values, complexity=range(cell.size))


def measure(truth: Truth, scores: Scores) -> dict[str, float]:
    """Judge one sweep and compare with its truth. Scores and widths in points, the rest 0 or 1 or counts."""
    judgement = judge(scores)
    theta = np.where(np.array(judgement.runs) > 0, truth.theta, -np.inf)  # the best among those that ran
    best, leader = int(np.argmax(theta)), judgement.leader
    argmax, naive_width = _naive(scores)
    found = {
        "naive": judgement.scores[argmax] - theta[argmax],
        "bias": judgement.shrunk - theta[leader],
        "held_out": (judgement.held_out or math.nan) - theta[leader],
        "regret_argmax": theta[best] - theta[argmax],
        "regret": theta[best] - theta[leader],
        "regret_simplest": theta[best] - theta[judgement.simplest if judgement.simplest is not None else leader],
        "naive_width": naive_width,
        **_interval(judgement, truth),
    }
    return {
        **{name: value / POINT for name, value in found.items() if name not in {"covers", "absolute"}},
        "covers": found["covers"],
        "absolute": found["absolute"],
        "tie_holds": best in judgement.tie_set,
        "tie_size": len(judgement.tie_set),
        "short_holds": best in judgement.short_list,
        "short_size": len(judgement.short_list),
        "mcb_holds": best in judgement.mcb,
        "mcb_size": len(judgement.mcb),
        "resolved": judgement.verdict == "resolved",
        "cannot_tell": judgement.verdict == "cannot_tell",
        "wrong": judgement.verdict == "resolved" and theta[leader] < theta[best],
        "flagged": judgement.stands_out,
        "tie_single": judgement.tie_set == (leader,),
        "mcb_single": len(judgement.mcb) == 1,
        **_effects(truth, scores),
    }


def _naive(scores: Scores) -> tuple[int, float]:
    """Return the argmax of the means, and the width of its textbook interval."""
    cells = tabulate(scores)
    fit = align(cells, cells.usable)
    argmax = int(np.nanargmax(fit.mean))
    if fit.total_df <= 0:
        return argmax, math.nan
    return argmax, 2 * float(student.ppf(0.975, fit.total_df)) * math.sqrt(fit.pooled / fit.runs[argmax])


def _interval(judgement: Judgement, truth: Truth) -> dict[str, float]:
    given, absolute = judgement.interval, judgement.absolute
    if given is None or absolute is None:
        return {"covers": math.nan, "absolute": math.nan, "width": math.nan}
    theta = truth.theta[judgement.leader]
    return {
        "covers": given[0] <= theta + truth.shifts.mean() <= given[1],
        "absolute": absolute[0] <= theta <= absolute[1],
        "width": given[1] - given[0],
    }


def _effects(truth: Truth, scores: Scores) -> dict[str, float]:
    """Count the supported sentences about main effects, the false ones, and those found of 1 point and more."""
    supported = wrong = large = power = 0
    for effect in effects(scores):
        actual = _contrast(truth, effect.name, effect.levels)
        claimed = effect.grade == "supported"
        supported += claimed
        wrong += claimed and effect.estimate * actual <= 0
        large += abs(actual) >= POINT
        power += claimed and abs(actual) >= POINT
    return {"supported": supported, "supported_wrong": wrong, "large": large, "large_found": power}


def _contrast(truth: Truth, name: str, levels: tuple[Any, Any]) -> float:
    values = np.array([configuration[name] for configuration in truth.configurations])
    difference = float(truth.theta[values == levels[0]].mean() - truth.theta[values == levels[1]].mean())
    return 0.0 if abs(difference) < 1e-12 else difference  # noqa: PLR2004 - rounding


@dataclass(frozen=True)
class Summary:
    """The figures of one cell: its sweeps' measurements, by name."""

    cell: Cell
    values: dict[str, Array]
    seconds: float

    @property
    def count(self) -> int:
        """Number of sweeps."""
        return len(self.values["bias"])

    def mean(self, name: str) -> float:
        """Return the mean of a measurement over the sweeps in which it was taken."""
        taken = self.values[name][np.isfinite(self.values[name])]
        return float(taken.mean()) if len(taken) else math.nan

    def error(self, name: str) -> float:
        """Return the Monte Carlo standard error of that mean."""
        return float(np.nanstd(self.values[name]) / math.sqrt(self.count))


def run(cell: Cell, count: int) -> Summary:
    """Simulate and judge ``count`` sweeps of one cell."""
    start = time.perf_counter()
    rows = [measure(truth, scores) for truth, scores in sweeps(cell, count)]
    values = {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    values["any_supported"] = np.minimum(values["supported"], 1)
    values["regret_gain"] = values["regret"] - values["regret_argmax"]
    return Summary(cell, values, time.perf_counter() - start)


@dataclass(frozen=True)
class Bar:
    """A promise of section 3 of the decision procedure: its ``name``, what was ``seen``, and between which bounds."""

    name: str
    seen: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def kept(self) -> bool:
        """Whether the figure lies within its bounds."""
        return self.low <= self.seen <= self.high

    def __str__(self) -> str:
        both = ((">=", self.low), ("<=", self.high))
        bounds = [f"{sign} {bound:.3g}" for sign, bound in both if math.isfinite(bound)]
        return f"{'kept  ' if self.kept else 'MISSED'} {self.name}: {self.seen:.3g} ({', '.join(bounds)})"


def bars(summary: Summary) -> list[Bar]:
    """Return the promises that hold for a cell, each with a band of 3.3 Monte Carlo standard errors."""
    cell = summary.cell
    if cell.replicates == 1:
        return [Bar("6 one replicate: cannot tell", summary.mean("cannot_tell"), low=1), *_effect_bars(summary)]
    if cell.scenario.startswith("gap"):
        return _gap_bars(summary)
    return [*_score_bars(summary), *_tie_bars(summary), *_effect_bars(summary)]


def _share(summary: Summary, promised: float) -> float:
    """Return 3.3 standard errors of a share that is as promised."""
    return 3.3 * math.sqrt(promised * (1 - promised) / summary.count)


def _score_bars(summary: Summary) -> list[Bar]:
    """Return bars 0, 1, 2 and 2b. Bias .3 pt up to sd 1, .3 sd above; coverage 93 %, 90 % with two replicates."""
    cell = summary.cell
    bias = 0.3 * max(1.0, cell.sd) + 3.3 * summary.error("bias")
    covers = 0.93 if cell.replicates >= COMPLETE else 0.90
    above = cell.scenario == "planted" and cell.size <= MIDDLE and cell.replicates >= COMPLETE
    found = [
        Bar("1 |bias| of the shrunk leader, pt", abs(summary.mean("bias")), high=bias),
        Bar("2 interval covers, given the seeds", summary.mean("covers"), covers - _share(summary, covers),
            0.97 + _share(summary, 0.97) if above else math.inf),
        Bar("2b absolute interval covers", summary.mean("absolute"), 0.87 - _share(summary, 0.87)),
    ]  # fmt: skip
    if cell.scenario == "null" or cell.size > MIDDLE:
        found.append(Bar("2 width / naive width", summary.mean("width") / summary.mean("naive_width"), high=1.5))
    if cell.scenario == "planted" and (cell.replicates, cell.sd) == (3, 1):
        floor = 0.5 if cell.size == min(GRIDS) else 0.8
        found.insert(0, Bar("0 naive bias (is the simulator sound?), pt", summary.mean("naive"), floor))
    return found


def _tie_bars(summary: Summary) -> list[Bar]:
    """Return bars 3, 4, 4b and 5."""
    cell = summary.cell
    found = [
        Bar("3 tie set holds the best", summary.mean("tie_holds"), 0.95 - _share(summary, 0.95)),
        Bar("4b resolved but wrong", summary.mean("wrong"), high=0.01),
    ]
    if cell.scenario == "null":
        return [*found, Bar("4 null resolved", summary.mean("resolved"), high=0.005 + _share(summary, 0.005))]
    if cell.scenario == "planted" and cell.replicates >= COMPLETE:
        found.append(Bar("3 tie set / Hsu's set, size", summary.mean("tie_size") / summary.mean("mcb_size"), high=1.05))
    gain = 0.02 + 3.3 * summary.error("regret_gain")
    return [*found, Bar("5 regret less that of argmax, pt", summary.mean("regret_gain"), high=gain)]


def _effect_bars(summary: Summary) -> list[Bar]:
    """Return bar 4c."""
    if summary.cell.scenario == "null":
        bound = 0.05 + _share(summary, 0.05)
        return [Bar("4c effects: family-wise error", summary.mean("any_supported"), high=bound)]
    supported = summary.values["supported"].sum()
    wrong = summary.values["supported_wrong"].sum() / max(supported, 1)
    band = 3.3 * math.sqrt(0.99 * 0.01 / max(supported, 1))
    return [Bar("4c effects: supported ones that are true", 1 - wrong, 0.99 - band)]


def _gap_bars(summary: Summary) -> list[Bar]:
    """Return bar 7: nothing is promised below a gap of 3 sd, or away from N = 60."""
    wrong = Bar("4b resolved but wrong", summary.mean("wrong"), high=0.01)
    if float(summary.cell.scenario[3:]) < WIDE_GAP or summary.cell.size != MIDDLE:
        return [wrong]
    return [
        wrong,
        Bar("7 an isolated winner is flagged", summary.mean("flagged"), 0.75 - _share(summary, 0.75)),
        Bar("7 its interval covers", summary.mean("covers"), 0.88 - _share(summary, 0.88)),
    ]


HEAD = (
    "| truth | N | R | sd | sweeps | naive | shrunk | cov given/abs | width | tie set | short | MCB "
    "| regret argmax/L/.25SE | held out | resolved | flag | tie/MCB single | effects FWER / false / power | s |"
)


def line(summary: Summary) -> str:
    """Return one row of the table: bias and width in points, sets as share that holds the best and mean size."""
    cell, mean = summary.cell, summary.mean
    total = {name: summary.values[name].sum() for name in ("supported", "supported_wrong", "large", "large_found")}
    false = total["supported_wrong"] / max(total["supported"], 1)
    sets = [f"{100 * mean(f'{name}_holds'):.1f}/{mean(f'{name}_size'):.1f}" for name in ("tie", "short", "mcb")]
    columns = [
        cell.scenario, cell.size, cell.replicates, f"{cell.sd:g}", summary.count, f"{mean('naive'):+.2f}",
        f"{mean('bias'):+.3f}", f"{100 * mean('covers'):.1f}/{100 * mean('absolute'):.1f}", f"{mean('width'):.2f}",
        *sets, f"{mean('regret_argmax'):.2f} {mean('regret'):.2f} {mean('regret_simplest'):.2f}",
        f"{mean('held_out'):+.2f}", f"{100 * mean('resolved'):.1f}", f"{100 * mean('flagged'):.0f}",
        f"{100 * mean('tie_single'):.0f}/{100 * mean('mcb_single'):.0f}",
        f"{100 * mean('any_supported'):.1f} / {false:.4f} / {total['large_found'] / max(total['large'], 1):.2f}",
        f"{summary.seconds:.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, columns)) + " |"


def main() -> int:
    """Run the cells that were asked for, print the table and the bars; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 sweeps, N = 18 and 60, R = 3, sd = 1, and null")
    parser.add_argument("--sweeps", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=[18, 60], choices=sorted(GRIDS))
    parser.add_argument("--replicates", type=int, nargs="+", default=[3])
    parser.add_argument("--sds", type=float, nargs="+", default=[1.0], help="noise between replicates, in points")
    parser.add_argument("--scenarios", nargs="+", default=["planted", "null"], metavar="S", help=", ".join(SCENARIOS))
    given = parser.parse_args()
    if given.quick:
        given = parser.parse_args(["--sweeps", "300"])
    unknown = [name for name in given.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; scenarios: {', '.join(SCENARIOS)}")
    kinds = itertools.product(given.scenarios, given.sizes, given.replicates, given.sds)
    print(HEAD, "|---" * (HEAD.count("|") - 1) + "|", sep="\n", flush=True)
    missed = 0
    for cell in itertools.starmap(Cell, kinds):
        summary = run(cell, given.sweeps)
        print(line(summary), flush=True)
        failures = [bar for bar in bars(summary) if not bar.kept]
        missed += len(failures)
        for bar in failures:
            print(f"  {bar}", flush=True)
    print(f"{missed} bars missed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

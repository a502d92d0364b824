"""What is read does not depend on who wrote it where or when; what is equal has one digest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_sweep import ledger, paths, records
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part
from hpc_sweep.records import Kind
from hpc_sweep.trial import Trial
from tests.property.conftest import MEMORY

SWEEP, TRIALS = "s", 8
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
CONFIGURATIONS = st.dictionaries(st.text(), VALUES, max_size=4)


def line(number, outcome):
    """Return the line of a trial; what it says depends on nothing else."""
    error = None if outcome else {"reason": "exception", "text": "", "retryable": False, "tries": 1}
    return {"trial": f"id{number}", "outcome": outcome, "metrics": {"val/s": 1 / number}, "error": error}


def statuses(shard_of, outcomes, order, sizes):
    """Record the endings of trials in some shards, in some order, in entries of some sizes; return what is read."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    try:
        sweep = paths.Sweep(folder)
        ledger.write_identity(sweep, ledger.Identity(SWEEP, Objective("val/s", "max"), "", {}, "", {}, ""))
        for number in range(1, TRIALS + 1):
            trial = Trial(number, f"id{number}", (), {"x": number}, None, ())
            append_part(sweep.plan, [trial], [1], sweep=SWEEP, base={}, form="", first_shard=shard_of[number - 1])
        for number, size in zip(order, sizes, strict=True):
            lines = [line(number, outcomes[number - 1])] * size
            records.append(sweep.shard(shard_of[number - 1]), Kind.RESULT, {"results": lines}, sweep=SWEEP)
        state = ledger.read_ledger(sweep)
        assert (state.late, state.problems) == ((), ())
        return [(row.trial.id, row.status, row.result, row.failure) for row in state.rows]
    finally:
        shutil.rmtree(folder)


EACH = st.lists(st.integers(1, 3), min_size=TRIALS, max_size=TRIALS)


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(("completed", "diverged", "pruned", None)), min_size=TRIALS, max_size=TRIALS),
    EACH,
    EACH,
    st.permutations(range(1, TRIALS + 1)),
)
def test_sharding_order_and_repetition_change_nothing_that_is_read(outcomes, shard_of, sizes, order):
    """One shard or many, in any order, some lines there more than once: the same rows (I5)."""
    plain = statuses([1] * TRIALS, outcomes, range(1, TRIALS + 1), [1] * TRIALS)

    assert statuses(shard_of, outcomes, order, sizes) == plain


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_two_configurations_share_a_digest_only_when_they_are_one(one, other):
    """The order of keys is nothing, the type of a value is something (I12)."""
    turned = dict(reversed(one.items()))

    assert records.digest(turned) == records.digest(one)
    assert (records.digest(one) == records.digest(other)) == (records.canonical(one) == records.canonical(other))


@given(CONFIGURATIONS)
def test_what_is_written_is_what_is_read(value):
    """Every value that can be written comes back, bit for bit."""
    read = records.parse(records.canonical(value))

    assert records.canonical(read) == records.canonical(value)


def test_a_digest_is_the_same_in_every_process(tmp_path):
    """Whatever the seed of Python's own hashes is."""
    value = {"b": [1, 1.0, True, None], "a": {"ü": "\n", "x": 1e-300}}
    (tmp_path / "value.json").write_text(json.dumps(value))
    code = "import json, sys; from hpc_sweep import records; print(records.digest(json.load(open(sys.argv[1]))))"
    found = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, tmp_path / "value.json"],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }

    assert found == {records.digest(value)}

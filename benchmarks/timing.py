"""Check that the engines agree, then time them in interleaved rounds."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable

import numpy as np

from benchmarks import hand
from benchmarks.workloads import Array, Engine, Run, Workload

INNER_SECONDS = 0.02
PAUSE_SECONDS = 0.05
# The C library keeps freed memory only up to twice the largest block that it has got back so far.
# Without a large one W5 runs at one of two speeds, by chance: its pages may come anew in each step.
ALLOCATION = 30_000_000


def measure(workload: Workload, engines: list[Engine], rounds: int) -> dict[str, Array]:
    """Give each engine's (rounds,) seconds per step; those that cannot do it are left out.

    Raises:
        AssertionError: if an engine's gradient or Hessian-vector product is not that of hand.
    """
    np.empty(ALLOCATION, np.uint8)  # and free it
    runs = {hand.NAME: hand.set_up(workload)}
    runs |= {e.name: run for e in engines if (run := workload.set_up(e)) is not None}
    check(workload, runs)

    # The collector stays on, as users have it. What imports made is not scanned: a hundred thousand
    # objects of torch's would double the times of the others, who do not need torch.
    gc.collect()
    gc.freeze()
    loops = {name: loop_count(run.step) for name, run in runs.items()}
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name in rng.permutation(list(runs)):
            # Nobody pays for the one before: its garbage, and its BLAS threads, which keep a core
            # busy for 25 ms after their last product and would double the time of torch in W3.
            gc.collect()
            time.sleep(PAUSE_SECONDS)
            runs[name].step()
            times[name].append(seconds(runs[name].step, loops[name]))
    return {name: np.array(t) for name, t in times.items()}


def check(workload: Workload, runs: dict[str, Run]) -> None:
    """Compare two steps of every engine with hand's; the second finds gradients not cleared."""
    parameters, *_, direction = workload.task()
    start = [np.zeros_like(v) for v in direction] or parameters
    for step in (1, 2):
        changes = {}
        for name, run in runs.items():
            run.step()
            changes[name] = [now - then for now, then in zip(run.result(), start, strict=True)]
        for name, got in changes.items():
            for i, (a, b) in enumerate(zip(got, changes[hand.NAME], strict=True)):
                assert (a.shape, a.dtype) == (b.shape, b.dtype), (
                    f"{workload.name}, {name}, array {i}: {a.shape} {a.dtype}, "
                    f"expected {b.shape} {b.dtype}"
                )
                error = np.abs(a - b).max() / np.abs(b).max()
                assert error <= workload.tolerance, (
                    f"{workload.name}, {name}, array {i}, step {step}: relative error {error:.1e} "
                    f"against hand-written NumPy, allowed {workload.tolerance:.0e}"
                )


def loop_count(step: Callable[[], object]) -> int:
    """How many steps take INNER_SECONDS."""
    return math.ceil(INNER_SECONDS / min(seconds(step, 1) for _ in range(3)))


def seconds(step: Callable[[], object], loops: int) -> float:
    """Time `loops` steps; give the seconds of one."""
    start = time.perf_counter()
    for _ in range(loops):
        step()
    return (time.perf_counter() - start) / loops

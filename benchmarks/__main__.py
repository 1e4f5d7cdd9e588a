"""Run the benchmarks: `python -m benchmarks [--quick] [--rounds N] [W1 W4 ops process ...]`."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rich.table
from rich.console import Console

from benchmarks import engines, hand, ops, probe, timing
from benchmarks.workloads import LONG, SHORT, WORKLOADS, Array, Engine, Workload

RESULTS = Path(__file__).parent / "results.md"
OPS = "ops"  # the name for every op's backward pass
PROCESS = "process"  # the name for what needs processes of its own
ROUNDS, QUICK_ROUNDS = 31, 5
BUSY = 0.7  # load average of other work
NOISY = 0.3  # if the quartiles of a ratio are farther apart than this, run it again
MEGABYTES = {"W3": 14, "W5": 25}  # goals for 30 steps
TIMES_HAND = 3  # so much longer an op's backward pass may take than by hand
LINEAR = 2  # a chain a hundred times as long may take this much longer per op

NOTES = """\
One step = forward + backward + update. *hand* is hand-written NumPy in the order an eager engine
would use: the practical limit for eager; for W9 it is the derivative of a backward pass along the
direction. *ours, primitives* is the same net from `@`, `+` and `mean`; *torch nn.LSTM* is the whole
layer as one op, where all others compose it. ×H and ×T are medians over the rounds of time / hand's
and time / torch's in the same round: ratios count, absolute times do not. Every engine's gradients
were first checked against hand's. *none*: the engine cannot.

The table of ops times the way back from an op's results to its inputs, next to the same by hand in
one process; both give arrays of their own."""


class Table(NamedTuple):
    """A table of text."""

    title: str
    header: list[str]
    rows: list[list[str]]

    def rich(self) -> rich.table.Table:
        """For the terminal."""
        table = rich.table.Table(*self.header, title=self.title)
        for row in self.rows:
            table.add_row(*row, style={"yes": "green", "no": "red"}.get(row[-1]))
        return table

    def markdown(self) -> str:
        """For the file."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join([f"## {self.title}", "", *(f"| {' | '.join(row)} |" for row in lines)])


def main() -> None:
    """Measure and print; a full run, neither quick nor of named workloads, writes results.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    names = [*WORKLOADS, OPS, PROCESS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, help=f"how many rounds (default {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    chosen = arguments.names or names

    present = [name for name in engines.ENGINES if not engines.missing(name)]
    console = Console()
    console.print(about := _conditions(present, rounds))
    tables = []
    if measured := [WORKLOADS[name] for name in chosen if name in WORKLOADS]:
        loaded = [engine for name in present for engine in engines.load(name)]
        tables.append(_times(measured, loaded, rounds))
    if OPS in chosen:
        tables.append(_ops(min(rounds, 11)))
    if PROCESS in chosen:
        tables.append(_processes(present, min(rounds, 9)))
    for table in tables:
        console.print(table.rich())
    if not (arguments.names or arguments.quick):
        texts = ["# Benchmarks", about, NOTES, *(table.markdown() for table in tables)]
        RESULTS.write_text("\n\n".join(texts) + "\n")
        console.print(f"Written to {RESULTS.parent.name}/{RESULTS.name}.")


def _conditions(present: list[str], rounds: int) -> str:
    """Say what was measured on what."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    peers = dict.fromkeys(p for name in present for p in engines.ENGINES[name][1])
    packages = ["numpy", *(p for p in peers if p != "tinygrad_edu")]
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in packages)
    absent = [
        f" {name} is left out: {', '.join(lack)} not installed."
        for name in engines.ENGINES
        if (lack := engines.missing(name))
    ]
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY
    # Threads that wait for one another then lose whole time slices: 70 ms where 1 ms is right.
    warning = (
        " **The machine was busy before the run: do not trust what takes BLAS.**" if busy else ""
    )
    return (
        f"{[*models, platform.machine()][0]}, Python {platform.python_version()}, {versions}; "
        f"two threads, {rounds} interleaved rounds.{''.join(absent)}{warning}"
    )


def _times(measured: list[Workload], loaded: list[Engine], rounds: int) -> Table:
    rows = []
    for workload in measured:
        # A variant of an engine runs only where it has a goal.
        able = [e for e in loaded if e.name in engines.ENGINES or e.name in workload.goals]
        times = timing.measure(workload, able, rounds)
        first = f"{workload.name} {workload.title}"
        for name in [hand.NAME, *(e.name for e in able)]:
            cells = _cells(workload, times, name) if name in times else ["none", "", "", "", ""]
            rows.append([first, name, *cells])
            first = ""
    header = ["workload", "engine", "time", "×H", "×T", "goal", "reached"]
    return Table("Time per step: median (quartiles)", header, rows)


def _cells(workload: Workload, times: dict[str, Array], name: str) -> list[str]:
    bases = {"H": times["hand"], "T": times.get("torch eager", np.full(1, np.nan))}
    ratios = {letter: float(np.median(times[name] / base)) for letter, base in bases.items()}
    goals = workload.goals.get(name, {})
    goal = " and ".join(f"≤ {limit} ×{letter}" for letter, limit in goals.items())
    reached = _yes(all(ratios[letter] <= limit for letter, limit in goals.items()))
    if any(_spread(times[name] / bases[letter]) > NOISY for letter in goals):
        reached += ", noisy"
    time = _quartiles(times[name] / workload.per)
    return [time, *(f"{r:.2f}" for r in ratios.values()), goal, reached if goals else ""]


def _ops(rounds: int) -> Table:
    """Every op, the slowest next to its hand-written form first."""
    rows = []
    for name, ours, by_hand in ops.measure(rounds):
        low, ratio, high = np.percentile(ours / by_hand, [25, 50, 75])
        reached = _yes(ratio <= TIMES_HAND) + (", noisy" if high - low > NOISY * ratio else "")
        times = [_quartiles(ours), _quartiles(by_hand), f"{ratio:.2f} ({low:.2f}-{high:.2f})"]
        rows.append((ratio, [name, *times, reached]))
    rows.sort(key=lambda row: row[0], reverse=True)
    title = f"Backward of an op, {ops.SIDE**2:,} float64: median (quartiles)"
    header = ["op", "ours", "by hand", "×H", f"reached (≤ {TIMES_HAND})"]
    return Table(title, header, [row for _, row in rows])


def _spread(ratios: Array) -> float:
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return float((high - low) / median)


def _processes(present: list[str], imports: int) -> Table:
    header = ["engine", *(f"30 steps of {w}, MB over import" for w in MEGABYTES)]
    header += ["import time over NumPy's"]
    header += [f"per op, {SHORT:,} ops", f"per op, {LONG:,} ops", "both, MB over import", "reached"]
    # Interleaved rounds here too; the first, which may have to compile, does not count.
    loads = [{name: probe.import_seconds(name) for name in present} for _ in range(imports + 1)][1:]
    rows = []
    for name in [hand.NAME, *present]:
        megabytes = [probe.memory(name, workload) for workload in MEGABYTES]
        short, long, peak = probe.long_chain(name)
        load = [one[name] for one in loads if name in one]
        chain = [f"{short * 1e6:.2f} µs", f"{long * 1e6:.2f} µs", f"{peak:.0f}"]
        row = [name, *(f"{m:.0f}" for m in megabytes), _quartiles(load) if load else "", *chain, ""]
        rows.append(row)
        if name == "ours":
            reached = [
                *(m <= limit for m, limit in zip(megabytes, MEGABYTES.values(), strict=True)),
                np.median(load) <= 0.04,
                long <= LINEAR * short,
                peak <= 700,
            ]
            row[-1] = ", ".join(map(_yes, reached))
            limits = [f"≤ {limit}" for limit in MEGABYTES.values()]
            rows.append(["goal", *limits, "≤ 40 ms", "", f"≤ {LINEAR} × short's", "≤ 700", ""])
    return Table("Memory, import time and a chain of a million ops", header, rows)


def _quartiles(samples: Array | list[float]) -> str:
    low, median, high = np.percentile(samples, [25, 50, 75])
    factor, unit = (1e6, "µs") if median < 1e-3 else (1e3, "ms")
    return f"{median * factor:.3g} {unit} ({low * factor:.3g}-{high * factor:.3g})"


def _yes(reached: object) -> str:
    return "yes" if reached else "no"


if __name__ == "__main__":
    main()

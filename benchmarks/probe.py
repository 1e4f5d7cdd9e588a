"""Measure what needs a process of its own: memory, a very long chain, import time.

A child process is `python -m benchmarks.probe NAME WHAT`, an engine and a workload or
"long_chain"; it prints a number or a list of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import engines, hand
from benchmarks.timing import seconds
from benchmarks.workloads import LONG_CHAIN, WORKLOADS, Run, Workload

_IMPORT = "import time, numpy; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def import_seconds(name: str) -> float:
    """How long an engine takes to import where NumPy is imported already."""
    return float(_python("-c", _IMPORT.format(engines.ENGINES[name][1][0])))


def memory(name: str, workload: str) -> float:
    """Peak memory of 30 steps over that after import, in MB; NaN where unknown."""
    return float(_python("-m", "benchmarks.probe", name, workload))


def long_chain(name: str) -> tuple[float, float, float]:
    """Seconds per op of a short chain and of a long one, and the peak of both over import, MB."""
    short, long, megabytes = _python("-m", "benchmarks.probe", name, "long_chain")
    return short, long, megabytes


def _python(*arguments: str) -> Any:
    # Installed packages come compiled: let ours be compiled once, too.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def _child(name: str, what: str) -> object:
    def set_up(workload: Workload) -> Run:
        run = hand.set_up(workload) if engine is None else workload.set_up(engine)
        assert run is not None, f"every engine can do {workload.name}"
        return run

    engine = None if name == hand.NAME else engines.load(name)[0]
    before = _reset_peak()
    if what in WORKLOADS:
        seconds(set_up(WORKLOADS[what]).step, 30)
        return _megabytes("VmHWM") - before
    short = seconds(set_up(WORKLOADS["W4"]).step, 10) / WORKLOADS["W4"].per
    long = seconds(set_up(LONG_CHAIN).step, 1) / LONG_CHAIN.per
    return short, long, _megabytes("VmHWM") - before


def _reset_peak() -> float:
    """Count the peak from here; give the memory held now, in MB."""
    # getrusage's maximum will not do: a child process inherits the peak of its parent.
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return _megabytes("VmRSS")


def _megabytes(field: str) -> float:
    status = Path("/proc/self/status")
    found = status.exists() and re.search(rf"{field}:\s+(\d+) kB", status.read_text())
    return int(found[1]) * 1024 / 1e6 if found else float("nan")  # NaN: not Linux


if __name__ == "__main__":
    print(json.dumps(_child(*sys.argv[1:])))

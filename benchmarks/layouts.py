"""Compare our layout with Graphviz': `python -m benchmarks.layouts [--quick]`."""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import subprocess
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.__main__ import Table
from tinygrad_edu import Tensor
from tinygrad_edu.graph import snapshot
from viz import draw
from viz.layout import PORT, Layout, layout

RESULTS = Path(__file__).parent / "layouts.md"
LIMIT = 240  # seconds for dot
INCH = 72.0  # dot's points in one
PIECES = 9  # straight pieces per curve; odd, so that curves that swap places cross inside of one
STRIP = 60.0  # width of the strips that the pieces are sorted into
WIDTH, HEIGHT = 110.0, 52.0  # of a box, if its arrows need no more
LABEL = (12.0, 0.0)  # the head of an arrow, no text: dot gets none either
TIMES_DOT = {"tensor net": 1.5, "scalar MLP": 3.0}  # so many more crossings are allowed
SECONDS = {500: 1.0, 3_000: 4.0, 20_000: 10.0}  # for up to so many nodes
COMPARED = 2_000  # nodes; dot takes minutes for more

NOTES = f"""\
Both lay out the same graph from left to right with boxes of the same size and no text on arrows.
Crossings are counted in the same way for both: on the curves as they are drawn, cut into short
straight pieces. Arrows that share an end may touch, and are not counted with each other. Arrows of
ours that start at the same box share a line as far as they go the same way: what crosses it there
crosses once. Seconds are the fastest of three runs in processor time; dot's contain the start of
its program. SVG: the picture that `draw` makes of the graph, and dot's of the same boxes, words and
arrows; random graphs have no words. Goal: at most
{" and ".join(f"{limit} times dot's crossings on a {name}" for name, limit in TIMES_DOT.items())};
{", ".join(f"up to {nodes:,} nodes in {limit:.0f} s" for nodes, limit in SECONDS.items())}."""

Arrows = list[tuple[int, int]]
Array = NDArray[np.float64]


class Case(NamedTuple):
    """A graph to lay out."""

    family: str
    name: str
    count: int
    arrows: Arrows
    output: Tensor | None = None

    @property
    def sizes(self) -> list[tuple[float, float]]:
        """Of the boxes."""
        fan_in = [0] * self.count
        for _, target in self.arrows:
            fan_in[target] += 1
        return [(WIDTH, max(HEIGHT, PORT * fan)) for fan in fan_in]


def tensor_net(size: int, seed: int) -> Case:
    """30 % new parameter and op, 45 % unary op, 25 % skip connection to one of the last values."""
    rng, count, arrows = random.Random(seed), 1, []
    values = [0]
    while count < size:
        draw = rng.random()
        if draw < 0.3:
            arrows += [(values[-1], count + 1), (count, count + 1)]
            count += 1
        elif draw < 0.75:
            arrows.append((values[-1], count))
        else:
            arrows += [(values[-1], count), (rng.choice(values[-30:]), count)]
        values.append(count)
        count += 1
    return Case("tensor net", f"random, seed {seed}", count, arrows)


def real(family: str, name: str, output: Tensor) -> Case:
    """The graph of a real computation."""
    vertices = snapshot([output]).vertices
    arrows = [(use.source, v.index) for v in vertices for use in v.inputs]
    return Case(family, name, len(vertices), arrows, output)


def mlp() -> Case:
    """Four layers, cross-entropy and a penalty on every weight."""
    rng = np.random.default_rng(0)
    h: object = Tensor(rng.normal(size=(8, 16)))
    penalty: object = 0.0
    for number in range(4):
        W = Tensor(rng.normal(size=(16, 16)), requires_grad=True, name=f"W{number}")
        b = Tensor(rng.normal(size=16), requires_grad=True, name=f"b{number}")
        h = np.tanh(h @ W + b)
        penalty = penalty + np.sum(W * W)
    return real("tensor net", "MLP with penalty", np.mean((h - 1.0) ** 2) + penalty * 1e-3)


def residual() -> Case:
    """Twelve blocks: normalise, two layers, and around them the skip connection."""
    rng = np.random.default_rng(0)
    x: object = Tensor(rng.normal(size=(8, 16)))
    for number in range(12):
        scale, shift, b1, b2 = (
            Tensor(rng.normal(size=16), requires_grad=True, name=f"{letter}{number}")
            for letter in ("scale", "shift", "b", "c")
        )
        W1, W2 = (
            Tensor(rng.normal(size=(16, 16)), requires_grad=True, name=f"{letter}{number}")
            for letter in ("W", "V")
        )
        centred = x - np.mean(x, axis=-1, keepdims=True)
        spread = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
        x = x + (np.tanh((centred / spread * scale + shift) @ W1 + b1) @ W2 + b2)
    return real("tensor net", "12 residual blocks", np.mean(x * x))


def recurrent(steps: int) -> Case:
    """An LSTM written out: four gates a step, and weights that every step uses."""
    rng = np.random.default_rng(0)
    W, U = (Tensor(rng.normal(size=(8, 32)), requires_grad=True, name=name) for name in "WU")
    b = Tensor(rng.normal(size=32), requires_grad=True, name="b")
    h: object = Tensor(np.zeros((4, 8)))
    c: object = Tensor(np.zeros((4, 8)))
    for _ in range(steps):
        gates = Tensor(rng.normal(size=(4, 8))) @ W + h @ U + b
        i, f, o, g = (gates[:, 8 * k : 8 * k + 8] for k in range(4))
        c = np.tanh(f) * c + np.tanh(i) * np.tanh(g)
        h = np.tanh(o) * np.tanh(c)
    return real("tensor net", f"LSTM, {steps} steps", np.mean(h * h))


def scalar_mlp(*widths: int) -> Case:
    """A net of neurons as in micrograd: every number is a value of its own."""
    rng = random.Random(0)

    def parameter() -> Tensor:
        return Tensor(rng.uniform(-1, 1), requires_grad=True)

    layer: list[object] = [Tensor(rng.uniform(-1, 1)) for _ in range(widths[0])]
    for width in widths[1:]:
        neurons: list[object] = []
        for _ in range(width):
            total: object = parameter()
            for x in layer:
                total = total + x * parameter()
            neurons.append(np.tanh(total))
        layer = neurons
    return real("scalar MLP", "-".join(map(str, widths)), (layer[0] - 1.0) ** 2)


def curves(placed: Layout) -> list[Array]:
    """Our arrows as chains of short straight pieces; the curves are those of viz/svg.py."""
    t = np.linspace(0, 1, PIECES + 1)
    chains = []
    for route in placed.routes:
        parts = [np.array([[route[0][0], route[0][2]], [route[0][1], route[0][2]]])]
        for (_, x0, y0), (x1, stop, y1) in pairwise(route):
            middle = (x0 + x1) / 2
            parts.append(_bezier(np.array([[x0, y0], [middle, y0], [middle, y1], [x1, y1]]), t))
            parts.append(np.array([[stop, y1]]))
        chains.append(np.concatenate(parts))
    return chains


def _bezier(control: Array, t: Array) -> Array:
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    return weights @ control


def dot_curves(case: Case) -> tuple[list[Array], float]:
    """The same for Graphviz, and the seconds it took."""
    lines = ["digraph{rankdir=LR node[shape=box fixedsize=true]"]
    for i, (width, height) in enumerate(case.sizes):
        lines.append(f"{i}[width={width / INCH:.4f} height={height / INCH:.4f}]")
    lines += [f"{source}->{target}" for source, target in case.arrows]
    plain, seconds = _dot("plain", "\n".join([*lines, "}"]))
    waiting: dict[tuple[int, int], list[Array]] = {}
    t = np.linspace(0, 1, PIECES + 1)
    for line in plain.replace("\\\n", "").splitlines():
        words = line.split()
        if words[0] == "edge":
            points = np.array(words[4 : 4 + 2 * int(words[3])], dtype=float).reshape(-1, 2) * INCH
            parts = [_bezier(points[i : i + 4], t) for i in range(0, len(points) - 1, 3)]
            waiting.setdefault((int(words[1]), int(words[2])), []).append(np.concatenate(parts))
    return [waiting[arrow].pop() for arrow in case.arrows], seconds


def crossings(chains: Sequence[Array], arrows: Arrows) -> int:
    """How often the drawn arrows cross; those that share an end may touch, and do not count.

    All straight pieces are sorted into strips by x, and in a strip by y; those that are then near
    each other are tested pair by pair, on arrays.
    """
    # No two lines lie exactly on each other's corners: all moved a little, each by its own.
    shifts = np.random.default_rng(0).uniform(-1e-3, 1e-3, len(chains))
    moved = [chain + np.array([0.0, shift]) for chain, shift in zip(chains, shifts, strict=True)]
    a = np.concatenate([chain[:-1] for chain in moved])
    b = np.concatenate([chain[1:] for chain in moved])
    owner = np.repeat(np.arange(len(chains)), [len(chain) - 1 for chain in chains])
    ends = np.array(arrows)[owner]
    first = np.floor(np.minimum(a[:, 0], b[:, 0]) / STRIP).astype(int)
    last = np.floor(np.maximum(a[:, 0], b[:, 0]) / STRIP).astype(int)
    piece = np.repeat(np.arange(len(a)), last - first + 1)
    strip = np.arange(len(piece)) - np.repeat(np.cumsum(last - first + 1), last - first + 1)
    strip += last[piece] + 1
    low, high = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
    height = high.max() - low.min() + 1.0
    order = np.argsort(strip * height + low[piece] - low.min(), kind="stable")
    piece, strip = piece[order], strip[order]
    keys = strip * height + low[piece] - low.min()
    stops = np.searchsorted(keys, strip * height + high[piece] - low.min(), side="right")
    total = 0
    for begin in range(0, len(piece), 2_000):
        own = np.arange(begin, min(begin + 2_000, len(piece)))
        counts = stops[own] - own - 1
        i = np.repeat(own, counts)
        j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts) + i + 1
        p, q, where = piece[i], piece[j], strip[i]
        apart = (ends[p] != ends[q]).all(axis=1)
        p, q, where = p[apart], q[apart], where[apart]
        u, v = b[p] - a[p], b[q] - a[q]
        cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        away = a[q] - a[p]
        with np.errstate(divide="ignore", invalid="ignore"):
            s = (away[:, 0] * v[:, 1] - away[:, 1] * v[:, 0]) / cross
            t = (away[:, 0] * u[:, 1] - away[:, 1] * u[:, 0]) / cross
        hit = (cross != 0) & (s >= 0) & (s < 1) & (t >= 0) & (t < 1)
        x = a[p[hit], 0] + s[hit] * u[hit, 0]
        total += int(np.sum(np.floor(x / STRIP).astype(int) == where[hit]))
    return total


def _dot(form: str, source: str) -> tuple[str, float]:
    """What dot writes, and the processor time that it took."""
    before = os.times()
    command = ["dot", f"-T{form}"]
    text = subprocess.run(
        command, input=source, capture_output=True, text=True, check=True, timeout=LIMIT
    ).stdout
    after = os.times()
    user = after.children_user - before.children_user
    return text, user + after.children_system - before.children_system


def cases(quick: bool) -> list[Case]:
    """What is measured; quick: the small ones."""
    nets = [mlp(), residual(), recurrent(10), *(tensor_net(size, 0) for size in (50, 100, 200))]
    nets += [] if quick else [tensor_net(size, seed) for size in (500, 1_000) for seed in (0, 1)]
    nets += [] if quick else [tensor_net(2_000, 0), tensor_net(20_000, 0)]
    # About 100, 250, 500 nodes.
    scalars = [(3, 4, 3, 1), (4, 7, 5, 1), (4, 10, 9, 1)]
    return nets + [scalar_mlp(*widths) for widths in scalars[: 1 if quick else None]]


def measure(case: Case, has_dot: bool) -> list[str]:
    """A row of the table."""
    labels = [LABEL] * len(case.arrows)
    times = []
    for _ in range(3 if case.count <= COMPARED else 1):
        start = time.process_time()
        placed = layout(case.sizes, case.arrows, labels)
        times.append(time.process_time() - start)
    ours, seconds = crossings(curves(placed), case.arrows), min(times)
    limit = next(limit for nodes, limit in SECONDS.items() if case.count <= nodes)
    reached = seconds <= limit
    count, ratio, times_taken = f"{ours:,}", "", f"{seconds:.2f}"
    if has_dot and case.count <= COMPARED:
        runs = [dot_curves(case) for _ in range(3)]
        theirs = crossings(runs[0][0], case.arrows)
        reached &= ours <= TIMES_DOT[case.family] * theirs
        count += f" / {theirs:,}"
        ratio = f"{ours / theirs:.2f}" if theirs else "∞" if ours else "1.00"
        times_taken += f" / {min(run[1] for run in runs):.2f}"
    return [
        f"{case.family}: {case.name}",
        f"{case.count:,}",
        f"{len(case.arrows):,}",
        count,
        ratio,
        times_taken,
        _svg_sizes(case, has_dot),
        "yes" if reached else "no",
    ]


def _svg_sizes(case: Case, has_dot: bool) -> str:
    """In kB; only a real graph has a picture."""
    if case.output is None:
        return ""
    drawing = draw(case.output, collapse="none", constants="show", engine="builtin")
    size = f"{len(drawing.svg.encode()) / 1000:.0f}"
    return f"{size} / {len(_dot('svg', drawing.dot)[0].encode()) / 1000:.0f}" if has_dot else size


def main() -> None:
    """Measure and print; a full run writes layouts.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layouts", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="small graphs only, nothing written")
    quick = parser.parse_args().quick
    console = Console()
    about = f"{platform.machine()}, Python {platform.python_version()}"
    has_dot = shutil.which("dot") is not None
    if has_dot:
        version = subprocess.run(["dot", "-V"], capture_output=True, text=True, check=True).stderr
        about += f", {version.strip()}."
    else:
        about += "; the program dot is not installed: ours only, and nothing to compare with."
    console.print(about)
    header = ["graph", "nodes", "arrows", "crossings", "ratio", "seconds", "SVG kB", "reached"]
    table = Table(
        "Layouts: ours / dot's", header, [measure(case, has_dot) for case in cases(quick)]
    )
    console.print(table.rich())
    if not quick:
        text = "\n\n".join(["# Layouts", about, NOTES, table.markdown()])
        RESULTS.write_text(text + "\n", encoding="utf-8")
        console.print(f"Written to {RESULTS.parent.name}/{RESULTS.name}.")


if __name__ == "__main__":
    main()

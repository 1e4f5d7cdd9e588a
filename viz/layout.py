"""Where boxes and arrows go: a layered layout, left to right, on numbers only.

After K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures", 1981: columns, then the order inside each column, then coordinates. Loops all the way:
a graph may be deeper than Python's stack. Same input, same output, to the last digit.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]

GAP = 16.0  # between two boxes of a column
BEND = 44.0  # between two columns, for arrows to change their height in
PORT = 17.0  # between two arrows that end at the same box
SWEEPS = 12
LANES = 30_000  # points on long arrows; beyond that, the longest pass behind boxes


@dataclass(frozen=True, slots=True)
class Layout:
    """Coordinates, y downwards.

    Attributes:
        corners: top left corner of every box.
        routes: per arrow (x0, x1, y) stretches of level line, joined by curves; of several long
            arrows from the same box, one is drawn whole and the others branch off it.
        width: of everything.
        height: of everything.
    """

    corners: tuple[Point, ...]
    routes: tuple[tuple[tuple[float, float, float], ...], ...]
    width: float
    height: float


def layout(
    sizes: Sequence[Point], arrows: Sequence[tuple[int, int]], labels: Sequence[float]
) -> Layout:
    """Place boxes and arrows.

    Args:
        sizes: (width, height) per box.
        arrows: (source, target) indices with source < target, ordered by target.
        labels: width of the text at the end of each arrow.
    """
    rank, depth = _ranks(len(sizes), arrows)
    columns, chains, links = _columns(rank, arrows)
    _order(columns, links)
    heights = [size[1] for size in sizes] + [0.0] * (len(links) - len(sizes))
    y = _heights(columns, links, heights, depth + [0] * (len(links) - len(sizes)))

    # Where each arrow was before its last curve: at its source, or at a point of its lane.
    before = [y[chains[source].get(rank[target] - 1, source)] for source, target in arrows]
    ends = _ports(arrows, before, y)
    widths = [max((sizes[i][0] for i in column if i < len(sizes)), default=0) for column in columns]
    bends, tails = [BEND] * len(columns), [0.0] * len(columns)
    for (_, target), start, end, label in zip(arrows, before, ends, labels, strict=True):
        r = rank[target]
        bends[r] = max(bends[r], min(160.0, abs(end - start) / 3))
        tails[r] = max(tails[r], label)
    left, x = [], 0.0
    for column, width in enumerate(widths):
        x += bends[column] + tails[column] if column else 0.0
        left.append(x)
        x += width

    corners = tuple(
        (left[r] + (widths[r] - w) / 2, y[i] - h / 2)
        for i, (r, (w, h)) in enumerate(zip(rank, sizes, strict=True))
    )
    routes = []
    drawn = list(rank)  # how far the lane of each source is drawn: later arrows branch off it
    for (source, target), end in zip(arrows, ends, strict=True):
        first = min(drawn[source], rank[target] - 1)
        route = []
        for r in range(first, rank[target]):
            if r == rank[source]:
                start, level = corners[source][0] + sizes[source][0], y[source]
            elif r in chains[source]:
                start, level = left[r], y[chains[source][r]]
            else:
                break
            drawn[source] = max(drawn[source], r)
            right = left[r] + widths[r]
            route.append((right if r == first > rank[source] else start, right, level))
        route.append((left[rank[target]] - tails[rank[target]], corners[target][0], end))
        routes.append(tuple(route))
    return Layout(
        corners, tuple(routes), x, max(a + b / 2 for a, b in zip(y, heights, strict=True))
    )


def _ranks(count: int, arrows: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """The column of each box, and the length of the longest path to it.

    Both are the same but for leaves, and for results made of leaves and at most one other result:
    these stand as far right as their first use allows.
    """
    depth, op_inputs, has_inputs = [0] * count, [0] * count, [False] * count
    users: list[list[int]] = [[] for _ in range(count)]
    for source, target in arrows:
        depth[target] = max(depth[target], depth[source] + 1)
        has_inputs[target] = True
        op_inputs[target] += has_inputs[source]
        users[source].append(target)
    rank = list(depth)
    for i in reversed(range(count)):
        if op_inputs[i] < 2 and users[i]:
            rank[i] = min(rank[user] for user in users[i]) - 1
    return rank, depth


def _columns(
    rank: list[int], arrows: Sequence[tuple[int, int]]
) -> tuple[list[list[int]], list[dict[int, int]], list[tuple[list[int], list[int]]]]:
    """Give long arrows a lane: one point in every column that they pass.

    All arrows from the same source share one lane, and branch off it where they are used: a weight
    that an unrolled network uses a thousand times is one line, not half a million points.

    Returns:
        Members of each column (points are numbered after the boxes), per box its points by column,
        and per member its neighbours to the left and to the right.
    """
    columns: list[list[int]] = [[] for _ in range(max(rank) + 1)]
    for i, r in enumerate(rank):
        columns[r].append(i)
    chains: list[dict[int, int]] = [{} for _ in rank]
    links: list[tuple[list[int], list[int]]] = [([], []) for _ in rank]
    for source, target in sorted(arrows, key=lambda arrow: rank[arrow[1]] - rank[arrow[0]]):
        last = source
        if len(links) + rank[target] - rank[source] < LANES:
            for r in range(rank[source] + 1, rank[target]):
                if r not in chains[source]:
                    chains[source][r] = len(links)
                    columns[r].append(len(links))
                    links.append(([last], []))
                    links[last][1].append(chains[source][r])
                last = chains[source][r]
        if rank[target] == rank[source] + 1 or last != source:
            links[last][1].append(target)
            links[target][0].append(last)
    return columns, chains, links


def _order(columns: list[list[int]], links: list[tuple[list[int], list[int]]]) -> None:
    """Order every column so that few arrows cross: sort by the mean place of the neighbours."""
    place = [0.0] * len(links)
    for column in columns:
        for position, i in enumerate(column):
            place[i] = position
    best, fewest = [list(column) for column in columns], _crossings(columns, links, place)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        side = sweep % 2
        for column in columns[::-1] if side else columns:
            mean = {
                i: sum(place[j] for j in links[i][side]) / len(links[i][side])
                if links[i][side]
                else place[i]
                for i in column
            }
            column.sort(key=mean.__getitem__)
            for position, i in enumerate(column):
                place[i] = position
        crossings = _crossings(columns, links, place)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best


def _crossings(
    columns: list[list[int]], links: list[tuple[list[int], list[int]]], place: list[float]
) -> int:
    total = 0
    for column in columns:
        passed: list[float] = []
        for i in column:
            ends = [place[j] for j in links[i][1]]
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _heights(
    columns: list[list[int]],
    links: list[tuple[list[int], list[int]]],
    heights: list[float],
    depth: list[int],
) -> list[float]:
    """The y of every centre: as level with its neighbours as order and gaps allow.

    The deeper the computation that an arrow comes from, the more it insists on being level: what
    the eye follows is straight, and leaves give way.
    """
    y = [0.0] * len(links)
    for sweep in range(SWEEPS):
        side = sweep % 2
        for column in columns[::-1] if side else columns:
            wanted, force = [], []
            for i in column:
                if sweep < SWEEPS - 2:
                    near = links[i][side] or links[i][1 - side]
                else:
                    near = links[i][0] + links[i][1]
                pulls = [1.0 + 20.0 * min(depth[i], depth[j]) ** 3 for j in near]
                force.append(sum(pulls) or 1.0)
                wanted.append(
                    sum(pull * y[j] for pull, j in zip(pulls, near, strict=True)) / force[-1]
                    if near
                    else y[i]
                )
            settled = _settle(wanted, force, [heights[i] for i in column])
            for i, centre in zip(column, settled, strict=True):
                y[i] = centre
    top = min(centre - height / 2 for centre, height in zip(y, heights, strict=True))
    return [centre - top for centre in y]


def _settle(wanted: list[float], force: list[float], heights: list[float]) -> list[float]:
    """Centres closest to `wanted` (least squares) in this order and without overlap.

    Measured from a stack without slack, the centres must only not decrease: isotonic regression,
    solved exactly by pooling neighbours that are in each other's way.
    """
    stacked = [heights[0] / 2]
    for above, below in pairwise(heights):
        stacked.append(stacked[-1] + (above + below) / 2 + GAP)
    pools: list[tuple[float, float, int]] = []  # (mean, force, how many)
    for want, strength, offset in zip(wanted, force, stacked, strict=True):
        pool = (want - offset, strength, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, total, count = pools.pop()
            both = total + pool[1]
            pool = ((mean * total + pool[0] * pool[1]) / both, both, count + pool[2])
        pools.append(pool)
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, stacked, strict=True)]


def _ports(arrows: Sequence[tuple[int, int]], before: list[float], y: list[float]) -> list[float]:
    """The height at which each arrow ends: from top to bottom as the arrows come in."""
    incoming: dict[int, list[int]] = {}
    for number, (_, target) in enumerate(arrows):
        incoming.setdefault(target, []).append(number)
    ends = [0.0] * len(arrows)
    for target, numbers in incoming.items():
        numbers.sort(key=before.__getitem__)
        for position, number in enumerate(numbers):
            ends[number] = y[target] + (position - (len(numbers) - 1) / 2) * PORT
    return ends

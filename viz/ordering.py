"""The order inside the columns of a layered layout: few lines should cross.

After E. R. Gansner, E. Koutsofios, S. C. North, K.-P. Vo, "A technique for drawing directed
graphs", 1993, section 3: from several first orders, sweeps that sort each column by the neighbours
in the column before, and swaps in each column as long as they help.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

SWEEPS = 24  # per first order
ROUNDS = 8  # of swaps per sweep
PATIENCE = 6  # sweeps without progress before giving up
STARTS = 30  # first orders
WORK = 100_000  # lines to look at, all sweeps together: big graphs get fewer sweeps


@dataclass(slots=True)
class Points:
    """All that lines begin, bend or end at, by number, and the lines between them.

    Most points are members of a column themselves: a box, or a place where a long line passes a
    column. The others are ports: points on the border of a member that has several on a side.

    Attributes:
        lines: per point its neighbours to the left, and those to the right, one per line.
        ports: per member with ports those on its left side, from top to bottom, and on its right.
    """

    lines: tuple[list[list[int]], list[list[int]]] = field(default_factory=lambda: ([], []))
    ports: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)

    def on(self, member: int, side: int) -> Sequence[int]:
        """The points of a member where lines leave to the left (0) or right (1)."""
        return self.ports[member][side] if member in self.ports else (member,)


def order(columns: list[list[int]], points: Points) -> None:
    """Sort the members of every column, in place, so that few lines cross."""
    members = [i for column in columns for i in column]
    lines = sum(len(points.lines[1][p]) for i in members for p in points.on(i, 1))
    # In sweeps: counted, not timed, so that every run is alike. All levels of a picture share it.
    budget = max(12, WORK // (lines + len(points.lines[0]) + 1))
    best, fewest = columns[:], lines * lines
    for start in range(STARTS):
        search = _Search(_first_order(columns, points, start), points)
        idle = 0
        for sweep in range(min(SWEEPS, budget)):
            if sweep:
                search.sort(sweep % 2)
            search.swap(ties=sweep % 4 < 2)
            crossings = search.crossings()
            idle, budget = idle + 1, budget - 1
            if crossings < fewest:
                best, fewest, idle = [list(column) for column in search.columns], crossings, 0
            if not fewest or idle == PATIENCE:
                break
        if not fewest or not budget:
            break
    columns[:] = best


def _first_order(columns: list[list[int]], points: Points, start: int) -> list[list[int]]:
    """Members as a walk finds them, depth first, so that kin stay together.

    Args:
        columns: the members of each column.
        points: what they are connected by.
        start: which walk: 0 is none, the members stay as they are; odd ones start at the left,
            even ones at the right; of several lines, two take the first first, two the last first,
            the others any.
    """
    if not start:
        return [list(column) for column in columns]
    column_of = {i: c for c, column in enumerate(columns) for i in column}
    owner = {p: i for i in column_of for side in (0, 1) for p in points.on(i, side)}
    side = start % 2
    dice = random.Random(start)
    found: list[list[int]] = [[] for _ in columns]
    seen = set()
    for seed in (i for column in (columns if side else columns[::-1]) for i in column):
        stack = [seed]
        while stack:
            i = stack.pop()
            if i in seen:
                continue
            seen.add(i)
            found[column_of[i]].append(i)
            near = [owner[q] for p in points.on(i, side) for q in points.lines[side][p]]
            if start < 3:
                near.reverse()
            elif start > 4:
                near.sort(key=lambda _: dice.random())  # shuffle() may change with Python's version
            stack += near
    return found


class _Search:
    """An order that is being improved.

    Attributes:
        columns: the members of each column, from top to bottom.
        place: per point its place in its column; ports lie between their member and the next.
    """

    def __init__(self, columns: list[list[int]], points: Points) -> None:
        self.columns, self.points = columns, points
        self.place: dict[int, float] = {}
        # Per side and member: the other ends of its lines.
        self.others = tuple(
            {
                i: [q for p in points.on(i, side) for q in points.lines[side][p]]
                for column in columns
                for i in column
            }
            for side in (0, 1)
        )
        for column in columns:
            self._put(column)

    def _put(self, column: list[int]) -> None:
        place, ports = self.place, self.points.ports
        for position, i in enumerate(column):
            place[i] = position
            if i in ports:
                for points in ports[i]:
                    for number, p in enumerate(points, 1):
                        place[p] = position + number / (len(points) + 1) - 0.5

    def sort(self, side: int) -> None:
        """Sweep away from that side, and sort each column by the mean place of its neighbours."""
        place, others = self.place, self.others[side]
        for column in self.columns[::-1] if side else self.columns:
            mean = {
                i: sum([place[j] for j in near]) / len(near) if (near := others[i]) else place[i]
                for i in column
            }
            column.sort(key=mean.__getitem__)
            self._put(column)

    def swap(self, ties: bool) -> None:
        """Swap neighbours in a column as long as lines cross less; `ties`: or as little."""
        place = self.place
        active = {*range(len(self.columns))}
        for _ in range(ROUNDS):
            changed: set[int] = set()
            for c in sorted(active):
                column = self.columns[c]
                if len(column) < 2:
                    continue
                left = {i: sorted([place[j] for j in self.others[0][i]]) for i in column}
                right = {i: sorted([place[j] for j in self.others[1][i]]) for i in column}
                for k in range(len(column) - 1):
                    above, below = column[k], column[k + 1]
                    gain = _gain(left[above], left[below]) + _gain(right[above], right[below])
                    if gain > 0 or (gain == 0 and ties):
                        column[k], column[k + 1] = below, above
                    if gain > 0:
                        changed |= {c - 1, c, c + 1}
                self._put(column)
            ties = False  # or it would never end
            active = {c for c in changed if 0 <= c < len(self.columns)}

    def crossings(self) -> int:
        """How many pairs of lines cross."""
        place, lines, total = self.place, self.points.lines[1], 0
        for column in self.columns:
            passed: list[float] = []
            for i in column:
                for p in self.points.on(i, 1):
                    ends = [place[q] for q in lines[p]]
                    if passed:
                        total += sum([len(passed) - bisect_right(passed, end) for end in ends])
                    for end in ends:
                        insort(passed, end)
        return total


def _gain(above: list[float], below: list[float]) -> int:
    """How many crossings fewer two members make when they are swapped; their ends are sorted."""
    if len(above) > len(below):
        return -_gain(below, above)
    size = len(below)
    return sum([bisect_left(below, end) + bisect_right(below, end) - size for end in above])

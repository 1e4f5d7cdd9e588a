"""One level of a picture: boxes in columns from left to right, and lanes for the lines between.

After K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures", 1981: columns, then the order inside each column, then coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from viz.ordering import Points, order

GAP = 16.0  # between two boxes of a column
BEND = 44.0  # between two columns, for arrows to change their height in
PORT = 17.0  # between two arrows that end at the same box
SWEEPS = 12
LANES = 60_000  # points on long lines; beyond that, the longest pass behind boxes


class Line(NamedTuple):
    """What an arrow is on one level.

    Attributes:
        source: the point where it begins: a box, or a point on a frame's border.
        target: where it ends.
        arrow: the arrow's number; -1 where the line ends on a border, which all arrows with the
            same source cross together.
        label: room for a text at its end: how far along the line, and across.
    """

    source: int
    target: int
    arrow: int
    label: tuple[float, float]


@dataclass(slots=True)
class Level:
    """What is drawn directly inside a frame, or outside all frames.

    Attributes:
        members: boxes and frames.
        entries: points on the left border, where lines come in.
        exits: points on the right border, where lines leave.
        lines: between all these.
        columns: once arranged, what is in each, points of lanes too.
        width: at first what it must have at least; once arranged, what it has.
        height: what it has once arranged.
    """

    members: list[int] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    columns: list[list[int]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


@dataclass(slots=True)
class Sheet(Points):
    """All points of a picture, and where on their level they are, y downwards.

    Attributes:
        width: of boxes and frames.
        height: the same.
        depth: the longest path to what a point shows; 0 for the points of a lane.
        owner: of a port the frame it is on; else the point itself.
        shift: of a port how far below its frame's centre it is.
        x: left edge.
        y: centre.
        stretch: from where to where a line that comes by is level.
        before: the point before, on a line's way from its box.
        ends: per arrow the same at its target: level from, to, height, point before.
    """

    width: list[float] = field(default_factory=list)
    height: list[float] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    shift: list[float] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    stretch: list[tuple[float, float]] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    ends: dict[int, tuple[float, float, float, int]] = field(default_factory=dict)
    lanes: int = 0

    def add(self, size: tuple[float, float] = (0.0, 0.0), depth: int = 0, owner: int = -1) -> int:
        """Number a new point."""
        number = len(self.y)
        self.width.append(size[0])
        self.height.append(size[1])
        self.depth.append(depth)
        self.owner.append(number if owner < 0 else owner)
        for zero in (self.shift, self.x, self.y):
            zero.append(0.0)
        self.stretch.append((0.0, 0.0))
        self.before.append(-1)
        for side in self.lines:
            side.append([])
        return number

    def join(self, source: int, target: int) -> None:
        """Draw a line between points of neighbouring columns."""
        self.lines[1][source].append(target)
        self.lines[0][target].append(source)


def arrange(level: Level, sheet: Sheet, pad: float) -> None:
    """Place everything on a level; the frames on it are arranged inside already.

    Args:
        level: gets its size.
        sheet: gets the coordinates.
        pad: room at the left and the right edge.
    """
    rank = _ranks(level, sheet)
    columns, lanes, lasts = _columns(level, rank, sheet)
    level.columns = columns
    order(columns, sheet)
    _heights(columns, lanes, sheet)
    ends = _ends(level, lasts, sheet)
    bottoms = [sheet.y[i] + sheet.height[i] / 2 for column in columns for i in column]
    level.height = max(bottoms, default=0.0)

    # Between two columns all lines first bend; then they are level and have their labels.
    bends, tails = [BEND] * len(columns), [0.0] * len(columns)
    for line, last, end in zip(level.lines, lasts, ends, strict=True):
        number = rank[sheet.owner[line.target]]
        bends[number] = max(bends[number], _bend(end - sheet.y[last]))
        tails[number] = max(tails[number], line.label[0])
    for number, column in enumerate(columns):
        for i in column:
            if i not in rank:
                rise = sheet.y[i] - sheet.y[sheet.before[i]]
                bends[number] = max(bends[number], _bend(rise))
    right = 0.0 if level.entries else pad
    bent = []  # per column where its lines are level from
    for number, column in enumerate(columns):
        bent.append(right + bends[number] if number else right)
        left = bent[number] + tails[number]
        right = left + max(sheet.width[i] for i in column)
        is_wide = any(i in sheet.ports for i in column)
        for i in column:
            # Centred; but a leaf below a frame would be far from where it is used.
            share = 1.0 if is_wide and i not in sheet.ports and not sheet.lines[0][i] else 0.5
            sheet.x[i] = left + (right - left - sheet.width[i]) * share
            for p in sheet.on(i, 0):  # into a frame, or along a lane
                sheet.stretch[p] = (bent[number], sheet.x[i] if i in sheet.ports else right)
            if i in rank:
                for p in sheet.on(i, 1):  # out of a box or frame
                    sheet.stretch[p] = (sheet.x[i] + sheet.width[i], right)
    level.width = max(level.width, right + (0.0 if level.exits else pad))
    for p in level.entries:
        sheet.stretch[p] = (0.0, pad)
    for p in level.exits:
        sheet.stretch[p] = (bent[-1], level.width)
    for line, last, end in zip(level.lines, lasts, ends, strict=True):
        if line.arrow >= 0:
            start, stop = bent[rank[line.target]], sheet.x[line.target]
            sheet.ends[line.arrow] = (start, stop, end, last)
        else:
            sheet.before[line.target] = last


def _bend(rise: float) -> float:
    """Room for a line that changes its height so much."""
    return min(160.0, abs(rise) / 3)


def _ranks(level: Level, sheet: Sheet) -> dict[int, int]:
    """The column of each member, entry and exit: the length of the longest path to it.

    But they stand as far right as their first use allows: parameters next to it, and side branches
    where they join. Only frames with lines into them stay, so that those of like depth are stacked.
    Entries stand at the left border, exits at the right.
    """
    everything = level.entries + level.members + level.exits
    users: dict[int, list[int]] = {i: [] for i in everything}
    waits = dict.fromkeys(everything, 0)
    for line in level.lines:
        source, target = sheet.owner[line.source], sheet.owner[line.target]
        users[source].append(target)
        waits[target] += 1
    rank = dict.fromkeys(everything, 1 if level.entries else 0) | dict.fromkeys(level.entries, 0)
    fixed = {*level.entries, *level.exits, *(i for i in sheet.ports if waits.get(i))}
    ready = [i for i in everything if not waits[i]]
    for i in ready:  # grows meanwhile
        for user in users[i]:
            rank[user] = max(rank[user], rank[i] + 1)
            waits[user] -= 1
            if not waits[user]:
                ready.append(user)
    if len(ready) < len(everything):
        raise ValueError("layout: a group depends on what depends on it; expected none that does")
    last = max([rank[i] for i in level.members], default=0) + 1
    rank |= dict.fromkeys(level.exits, last)
    for i in reversed(ready):
        if users[i] and i not in fixed:
            rank[i] = min([rank[user] for user in users[i]]) - 1
    return rank


def _columns(
    level: Level, rank: dict[int, int], sheet: Sheet
) -> tuple[list[list[int]], list[list[int]], list[int]]:
    """Give long lines a lane: one point in every column that they pass.

    All lines from the same source share one lane, and branch off it where they are used: a weight
    that an unrolled network uses a thousand times is one line, not half a million points.

    Returns:
        The members of each column, points of lanes among them; the lanes; per line the last point
        before its end.
    """
    columns: list[list[int]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for i, r in rank.items():
        columns[r].append(i)
    lanes: dict[int, list[int]] = {}
    lasts = [line.source for line in level.lines]
    spans = [
        rank[sheet.owner[line.target]] - rank[sheet.owner[line.source]] for line in level.lines
    ]
    for number in sorted(range(len(spans)), key=spans.__getitem__):
        line, length = level.lines[number], spans[number] - 1
        lane = lanes.setdefault(line.source, [])
        if sheet.lanes + length - len(lane) <= LANES:
            while len(lane) < length:
                point = sheet.add()
                sheet.lanes += 1
                sheet.before[point] = lane[-1] if lane else line.source
                sheet.join(sheet.before[point], point)
                lane.append(point)
                columns[rank[sheet.owner[line.source]] + len(lane)].append(point)
        if lane and length:
            lasts[number] = lane[min(length, len(lane)) - 1]
        if length <= len(lane):
            sheet.join(lasts[number], line.target)
    return columns, [lane for lane in lanes.values() if lane], lasts


def _heights(columns: list[list[int]], lanes: list[list[int]], sheet: Sheet) -> None:
    """The y of every centre: as level with its neighbours as order and gaps allow.

    The deeper the computation that a line comes from, the more it insists on being level: what
    the eye follows is straight, and leaves give way.
    """
    y, depth, shift, height = sheet.y, sheet.depth, sheet.shift, sheet.height

    def pulls(i: int, side: int) -> list[tuple[int, float, float]]:
        return [
            (q, shift[p], 1.0 + 20.0 * min(depth[p], depth[q]) ** 3)
            for p in sheet.on(i, side)
            for q in sheet.lines[side][p]
        ]

    near = tuple({i: pulls(i, side) for column in columns for i in column} for side in (0, 1))
    for sweep in range(SWEEPS):
        side = sweep % 2
        for column in columns[::-1] if side else columns:
            wanted, force = [], []
            for i in column:
                if sweep < SWEEPS - 2:
                    lines = near[side][i] or near[1 - side][i]
                else:
                    lines = near[0][i] + near[1][i]
                force.append(sum([pull for _, _, pull in lines]) or 1.0)
                wanted.append(
                    sum([pull * (y[q] - low) for q, low, pull in lines]) / force[-1]
                    if lines
                    else y[i]
                )
            settled = _settle(wanted, force, [height[i] for i in column])
            for i, centre in zip(column, settled, strict=True):
                y[i] = centre
                for p in sheet.ports.get(i, ([], []))[0] + sheet.ports.get(i, ([], []))[1]:
                    y[p] = centre + shift[p]
    _straighten(columns, lanes, sheet)
    top = min((y[i] - height[i] / 2 for column in columns for i in column), default=0.0)
    for i in (i for column in columns for i in column):
        for p in {i, *sheet.on(i, 0), *sheet.on(i, 1)}:
            y[p] -= top


def _straighten(columns: list[list[int]], lanes: list[list[int]], sheet: Sheet) -> None:
    """Let lanes run level over as many columns as what is above and below them allows."""
    y, height = sheet.y, sheet.height
    neighbours: dict[int, tuple[int, int]] = {}
    for column in columns:
        for above, i, below in zip([-1, *column], column, [*column[1:], -1], strict=False):
            neighbours[i] = above, below
    for lane in lanes:
        wanted = y[sheet.before[lane[0]]]
        run: list[int] = []
        low, high = -math.inf, math.inf
        for i in [*lane, -1]:
            above, below = neighbours.get(i, (-1, -1))
            lowest = y[above] + height[above] / 2 + GAP if above >= 0 else -math.inf
            highest = y[below] - height[below] / 2 - GAP if below >= 0 else math.inf
            if i < 0 or max(low, lowest) > min(high, highest):
                level = min(max(wanted, low), high)
                for j in run:
                    y[j] = level
                run, low, high = [], -math.inf, math.inf
                wanted = y[i]
            run.append(i)
            low, high = max(low, lowest), min(high, highest)


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


def _ends(level: Level, lasts: list[int], sheet: Sheet) -> list[float]:
    """The height at which each line ends: at a box from top to bottom as the lines come in."""
    ends = [sheet.y[line.target] for line in level.lines]
    incoming: dict[int, list[int]] = {}
    for number, line in enumerate(level.lines):
        if line.arrow >= 0:
            incoming.setdefault(line.target, []).append(number)
    for target, numbers in incoming.items():
        numbers.sort(key=lambda number: sheet.y[lasts[number]])
        slot = max(PORT, *(level.lines[number].label[1] for number in numbers))
        slot = min(slot, sheet.height[target] / len(numbers))
        for position, number in enumerate(numbers):
            ends[number] += (position - (len(numbers) - 1) / 2) * slot
    return ends

"""Where boxes, arrows and frames go: a layered layout, left to right, on numbers only.

Every group of boxes has a frame, and is laid out in it for itself, the innermost first; in what is
around it the frame is one big box, with points on its border where lines come in and leave. So no
frame has a stranger in it, and no line cuts one that it has no business in.

Loops all the way: a graph may be deeper than Python's stack. Same input, same output, to the last
digit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from viz.layers import BEND, PORT, Level, Line, Sheet, arrange

__all__ = ["PORT", "Layout", "Point", "layout"]

Point = tuple[float, float]

PAD = 14.0  # between a frame and what is in it


@dataclass(frozen=True, slots=True)
class Layout:
    """Coordinates, y downwards.

    Attributes:
        corners: top left corner of every box.
        routes: per arrow (x0, x1, y) stretches of level line, joined by curves; of several long
            arrows from the same box, one is drawn whole and the others branch off it.
        frames: per group (x, y, width, height).
        width: of everything.
        height: of everything.
    """

    corners: tuple[Point, ...]
    routes: tuple[tuple[tuple[float, float, float], ...], ...]
    frames: tuple[tuple[float, float, float, float], ...]
    width: float
    height: float


def layout(
    sizes: Sequence[Point],
    arrows: Sequence[tuple[int, int]],
    labels: Sequence[Point],
    *,
    homes: Sequence[int] = (),
    frames: Sequence[tuple[int, float, float]] = (),
    whole: bool = False,
) -> Layout:
    """Place boxes, arrows and frames.

    Args:
        sizes: (width, height) per box. A box has room for the labels of its arrows if it is as
            high as their number times the largest breadth, or PORT.
        arrows: (source, target) indices with source < target, ordered by target.
        labels: (length, breadth) per arrow: room for the text at its end, along and across it.
        homes: per box the innermost group it is in, -1 for none.
        frames: per group (the group around it or -1, width and height of its title); the group
            around has the smaller index. No group may depend on what depends on it.
        whole: let every arrow begin at its box, also where it shares a line with an earlier one.
    """
    sheet = Sheet()
    depth = [0] * len(sizes)
    for source, target in arrows:
        depth[target] = max(depth[target], depth[source] + 1)
    for size, steps in zip(sizes, depth, strict=True):
        sheet.add(size, steps)
    levels = [Level() for _ in range(len(frames) + 1)]  # the last is outside of all: number -1
    homes = list(homes) or [-1] * len(sizes)
    for box, home in enumerate(homes):
        levels[home].members.append(box)
    for around, _, _ in frames:
        frame = sheet.add()
        sheet.ports[frame] = [], []
        levels[around].members.append(frame)
    joints = _split(arrows, labels, homes, [frame[0] for frame in frames], levels, sheet)

    for group in reversed(range(len(frames))):
        _, title_width, title_height = frames[group]
        level, frame = levels[group], len(sizes) + group
        level.width = title_width
        arrange(level, sheet, PAD)
        sheet.width[frame] = level.width
        sheet.height[frame] = title_height + level.height + 2 * PAD
        for inside, port in joints[group]:
            sheet.shift[port] = title_height + PAD + sheet.y[inside] - sheet.height[frame] / 2
        for ports in sheet.ports[frame]:
            ports.sort(key=sheet.shift.__getitem__)
    arrange(levels[-1], sheet, 0.0)

    first = len(sizes)
    _move(levels, range(first, first + len(frames)), [title[2] for title in frames], sheet)
    return Layout(
        tuple((sheet.x[i], sheet.y[i] - sizes[i][1] / 2) for i in range(len(sizes))),
        tuple(_routes(len(arrows), sheet, whole)),
        tuple(
            (sheet.x[i], sheet.y[i] - sheet.height[i] / 2, sheet.width[i], sheet.height[i])
            for i in range(first, first + len(frames))
        ),
        levels[-1].width,
        levels[-1].height,
    )


def _split(
    arrows: Sequence[tuple[int, int]],
    labels: Sequence[Point],
    homes: Sequence[int],
    around: Sequence[int],
    levels: Sequence[Level],
    sheet: Sheet,
) -> list[list[tuple[int, int]]]:
    """Cut the arrows at the frames, and give each level its lines.

    Returns:
        Per group where lines cross its border: the point as seen from inside, and from outside.
    """
    paths: list[list[int]] = []  # per group all around it and itself, from outside inwards
    for group, outer in enumerate(around):
        paths.append([*(paths[outer] if outer >= 0 else []), group])
    paths.append([])  # number -1: outside of all
    joints: list[list[tuple[int, int]]] = [[] for _ in around]
    crossed: dict[tuple[int, int, int], int] = {}

    def cross(group: int, side: int, box: int, point: int) -> int:
        """Lead lines that come from a box, and now from a point, into (0) or out of (1) a group.

        They cross its border together: what comes after the first only gets the point behind it.
        """
        key = group, side, box
        if key not in crossed:
            frame, depth = len(homes) + group, sheet.depth[box]
            inside, port = sheet.add((PAD, 0.0), depth), sheet.add((0.0, 0.0), depth, frame)
            (levels[group].exits if side else levels[group].entries).append(inside)
            sheet.ports[frame][side].append(port)
            joints[group].append((inside, port))
            first, second = (inside, port) if side else (port, inside)
            levels[group if side else around[group]].lines.append(
                Line(point, first, -1, (0.0, 0.0))
            )
            sheet.before[second] = first
            crossed[key] = second
        return crossed[key]

    for number, ((source, target), label) in enumerate(zip(arrows, labels, strict=True)):
        out, into = paths[homes[source]], paths[homes[target]]
        shared = sum(a == b for a, b in zip(out, into, strict=False))
        point = source
        for group in reversed(out[shared:]):
            point = cross(group, 1, source, point)
        for group in into[shared:]:
            point = cross(group, 0, source, point)
        levels[homes[target]].lines.append(Line(point, target, number, label))
    return joints


def _move(
    levels: Sequence[Level], frames: Sequence[int], titles: Sequence[float], sheet: Sheet
) -> None:
    """Move all to where their level is in the picture, from the outermost level inwards."""
    for level, frame, title in zip(levels, frames, titles, strict=False):
        x, y = sheet.x[frame], sheet.y[frame] - sheet.height[frame] / 2 + title + PAD
        for i in (i for column in level.columns for i in column):
            for p in {i, *sheet.on(i, 0), *sheet.on(i, 1)}:
                start, stop = sheet.stretch[p]
                sheet.stretch[p] = start + x, stop + x
                sheet.x[p] += x
                sheet.y[p] += y
        for line in level.lines:
            if line.arrow >= 0:
                start, stop, end, last = sheet.ends[line.arrow]
                sheet.ends[line.arrow] = start + x, stop + x, end + y, last


def _routes(
    count: int, sheet: Sheet, whole: bool
) -> Iterator[tuple[tuple[float, float, float], ...]]:
    """Per arrow the way back to its box, or to where an earlier arrow has come by."""
    drawn = [False] * len(sheet.y)
    for number in range(count):
        start, stop, y, point = sheet.ends[number]
        route = [(start, stop, y)]
        while point >= 0:
            start, stop = sheet.stretch[point]
            if drawn[point]:
                start = stop
            # No curve between what is on both sides of a border, or on the same height.
            if route[-1][0] - stop < BEND / 2 or sheet.y[point] == route[-1][2]:
                route[-1] = start, *route[-1][1:]
            else:
                route.append((start, stop, sheet.y[point]))
            if drawn[point]:
                break
            drawn[point] = not whole
            point = sheet.before[point]
        yield tuple(reversed(route))

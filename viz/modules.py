"""Which values belong together: the modules of a graph, made of the scopes it was computed in.

A scope that is entered again (a cell that is applied at every time step) makes another module. A
module is drawn as a box around its values, or as one box in their place. Either way an arrow that
leaves it must not lead back into it, or no order from left to right would be left: where one would,
the values of one scope make several modules.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TypeVar

from tinygrad_edu import Tensor
from tinygrad_edu.graph import Snapshot

T = TypeVar("T", bound=Hashable)
Label = TypeVar("Label", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Module:
    """A part of a graph.

    Attributes:
        title: the last part of its scope; with a number, if the scope was entered several times.
        parent: index of the module that it is in, -1 for none.
    """

    title: str
    parent: int


@dataclass(frozen=True, slots=True)
class Modules:
    """All modules of a graph.

    Attributes:
        all: parents before what is in them.
        home: per vertex the index of the innermost module it is in, -1 for none.
    """

    all: tuple[Module, ...]
    home: tuple[int, ...]

    def path(self, vertex: int) -> list[int]:
        """The modules that a vertex is in, from the outermost."""
        path, module = [], self.home[vertex]
        while module >= 0:
            path.append(module)
            module = self.all[module].parent
        return path[::-1]


def modules_of(graph: Snapshot, visible: Sequence[int]) -> Modules:
    """Find the modules of the visible part of a graph."""
    home = [-1] * len(graph.vertices)
    found: list[Module] = []
    ops = [i for i in visible if graph.vertices[i].op is not None]
    parts = {
        i: list(zip(graph.vertices[i].scope.split("/"), graph.vertices[i].entries, strict=False))
        for i in ops
    }
    work = deque([(-1, 0, ops)])
    while work:
        parent, depth, members = work.popleft()
        label = {i: parts[i][depth] if depth < len(parts[i]) else None for i in members}
        inside = set(members)
        sources = {
            i: [use.source for use in graph.vertices[i].inputs if use.source in inside]
            for i in members
        }
        groups = [(part, group) for part, group in grouped(members, label, sources) if part]
        times = Counter(name for (name, _), _ in groups)
        seen: Counter[str] = Counter()
        for (name, _), group in groups:
            seen[name] += 1
            title = name if times[name] == 1 else f"{name} ({seen[name]})"
            work.append((len(found), depth + 1, group))
            found.append(Module(title, parent))
            for i in group:
                home[i] = len(found) - 1
    modules = Modules(tuple(found), tuple(home))
    _bring_leaves_home(graph, visible, modules, home)
    return _without_singles(Modules(tuple(found), tuple(home)))


def grouped(
    items: Iterable[T], label: Mapping[T, Label | None], sources: Mapping[T, Iterable[T]]
) -> list[tuple[Label | None, list[T]]]:
    """Put items of the same label together, as far as no arrow then leads out and back.

    Args:
        items: in topological order.
        label: of each item; None for those that stay alone.
        sources: the items that each depends on.

    Returns:
        (label, items) in topological order.
    """
    order: list[tuple[Label | None, list[T]]] = []
    for item in items:  # between neighbours in a topological order there is nothing
        if order and label[item] is not None and order[-1][0] == label[item]:
            order[-1][1].append(item)
        else:
            order.append((label[item], [item]))
    owner = {item: unit for unit in order for item in unit[1]}
    times_found = Counter(name for name, _ in order)
    for name in [name for name, count in times_found.items() if name is not None and count > 1]:
        places = [i for i, unit in enumerate(order) if unit[0] == name]
        first, last = places[0], places[-1] + 1
        # How often a path to it has left the label: it can enter the next group at the earliest.
        times: dict[int, int] = {}
        for unit in order[first:last]:
            known = 0
            for source in (source for item in unit[1] for source in sources[item]):
                before = owner[source]
                if id(before) in times and before is not unit:
                    left = before[0] == name != unit[0]
                    known = max(known, times[id(before)] + left)
            times[id(unit)] = known
        ordered = sorted(order[first:last], key=lambda unit: (times[id(unit)], unit[0] == name))
        merged: list[tuple[Label | None, list[T]]] = []
        turn = -1
        for unit in ordered:
            if unit[0] == name and turn == times[id(unit)] and merged[-1][0] == name:
                merged[-1][1].extend(unit[1])
            else:
                merged.append((unit[0], list(unit[1])))
                turn = times[id(unit)]
        order[first:last] = merged
        for unit in merged:
            for item in unit[1]:
                owner[item] = unit
    return order


def in_order(items: Iterable[int], sources: Mapping[int, Iterable[int]]) -> list[int]:
    """Sort topologically; of several that could be next, the lowest number is."""
    missing = {item: len(set(sources[item])) for item in items}
    users: dict[int, list[int]] = {item: [] for item in missing}
    for item in missing:
        for source in set(sources[item]):
            users[source].append(item)
    ready = [item for item, count in missing.items() if count == 0]
    heapify(ready)
    order = []
    while ready:
        item = heappop(ready)
        order.append(item)
        for user in users[item]:
            missing[user] -= 1
            if missing[user] == 0:
                heappush(ready, user)
    assert len(order) == len(missing), "what is drawn as one must not be entered again"
    return order


def _bring_leaves_home(
    graph: Snapshot, visible: Sequence[int], modules: Modules, home: list[int]
) -> None:
    """A parameter or constant belongs to the innermost module that holds all of its users.

    What is no constant but data (a Tensor without gradient) comes from outside of all modules.
    """
    common: dict[int, list[int]] = {}
    for i in visible:
        for use in graph.vertices[i].inputs:
            leaf = graph.vertices[use.source]
            if leaf.op is None and (leaf.requires_grad or not isinstance(leaf.value, Tensor)):
                path = modules.path(i)
                shared = common.setdefault(use.source, path)
                depth = sum(1 for a, b in zip(shared, path, strict=False) if a == b)
                common[use.source] = shared[:depth]
    for i, path in common.items():
        home[i] = path[-1] if path else -1


def _without_singles(modules: Modules) -> Modules:
    """Forget modules of a single value: they would be a box around a box."""
    size = Counter(module for i in range(len(modules.home)) for module in modules.path(i))
    kept = [i for i in range(len(modules.all)) if size[i] > 1]
    new = {old: i for i, old in enumerate(kept)} | {-1: -1}
    found = tuple(
        Module(module.title, new[module.parent]) for module in (modules.all[i] for i in kept)
    )
    home = list(modules.home)
    for i, module in enumerate(home):
        while module not in new:
            module = modules.all[module].parent
        home[i] = new[module]
    return Modules(found, tuple(home))

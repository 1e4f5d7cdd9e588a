"""What is in force around a computation: recording or not, a scope, watchers.

All of it is one immutable value in one context variable, so that it is local to the thread and
to the asyncio task, costs one look-up per op, and ends with its `with` block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Mode:
    """The settings in force.

    Attributes:
        recording: whether ops on tracked Tensors extend the graph.
        scope: name for the nodes made now, "layer1/attention".
        anomaly: look for non-finite values and changed data.
        observers: called for every edge that a backward pass takes.
        journal: collects every node that is recorded now.
        by_name: compute through the public functions, so that a tracer sees which was called.
    """

    recording: bool = True
    scope: str = ""
    anomaly: bool = False
    observers: tuple[Callable[[Edge], object], ...] = ()
    journal: list[Any] | None = None
    by_name: bool = False


class Edge(NamedTuple):
    """One step of the chain rule, as `observe` shows it; all arrays are plain data.

    Attributes:
        op: name of the op whose rule was applied.
        argument: the argument the gradient goes to.
        upstream: cotangent of the op's result.
        contribution: what the rule made of it for the argument: upstream times local gradient.
        before: gradient of the argument so far, None before its first contribution.
        after: `before + contribution`.
        output: the Tensor that the op made.
        input: the Tensor that the contribution goes to.
    """

    op: str
    argument: str
    upstream: Any
    contribution: Any
    before: Any
    after: Any
    output: Any
    input: Any


PLAIN = Mode()
MODE: ContextVar[Mode] = ContextVar("tinygrad_edu.mode", default=PLAIN)


@contextmanager
def _changed(**settings: Any) -> Iterator[None]:
    token = MODE.set(replace(MODE.get(), **settings))
    try:
        yield
    finally:
        MODE.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside the block, or inside the decorated function; local to the thread."""
    with _changed(recording=False):
        yield


@contextmanager
def enable_grad() -> Iterator[None]:
    """Record again inside a `no_grad` block."""
    with _changed(recording=True):
        yield


def is_grad_enabled() -> bool:
    """Whether ops on tracked Tensors are recorded here."""
    return MODE.get().recording


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Name a part of the graph: nodes made inside belong to it; scopes nest with "/"."""
    outer = MODE.get().scope
    with _changed(scope=f"{outer}/{name}" if outer else name):
        yield


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Check every value, forward and backward, and name the first op that made a non-finite one.

    Also notices arrays that changed between forward and backward through an alias that the engine
    cannot see (an array taken from `.data` before the forward pass). Slow; for debugging.
    """
    with _changed(anomaly=True):
        yield


@contextmanager
def observe(observer: Callable[[Edge], object]) -> Iterator[None]:
    """Call `observer(edge)` for every edge that a backward pass takes inside the block."""
    with _changed(observers=(*MODE.get().observers, observer)):
        yield


@contextmanager
def by_name() -> Iterator[None]:
    """Compute through the ops' public functions inside the block, not their bare forwards."""
    with _changed(by_name=True):
        yield


@contextmanager
def journal() -> Iterator[list[Any]]:
    """Collect every node that is recorded inside the block."""
    nodes: list[Any] = []
    with _changed(journal=nodes):
        yield nodes

"""What is in force around a computation: recording or not, a scope, watchers.

All of it is one immutable value in one context variable, so that it is local to the thread and
to the asyncio task, costs one look-up per op, and ends with its `with` block.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from itertools import count
from typing import Any, NamedTuple

from tinygrad_edu.errors import DtypeError


@dataclass(frozen=True, slots=True)
class Mode:
    """The settings in force.

    Attributes:
        recording: whether ops on tracked Tensors extend the graph.
        scope: name for the nodes made now, "layer1/attention".
        entries: per part of the scope, the number of the `with` block that was entered: a cell that
            is applied at every time step has one scope, and as many entries as steps.
        anomaly: look for non-finite values and changed data.
        observers: called for every edge that a backward pass takes.
        journal: collects every node that is recorded now.
        by_name: compute through the public functions, so that a tracer sees which was called.
        outer: the mode around the block that made this one.
    """

    recording: bool = True
    scope: str = ""
    entries: tuple[int, ...] = ()
    anomaly: bool = False
    observers: tuple[Callable[[Edge], object], ...] = ()
    journal: list[Any] | None = None
    by_name: bool = False
    outer: Mode | None = None


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


class Block:
    """A `with` block, and a decorator, in which the mode is another one.

    It has no state of its own: the outer mode is remembered by the inner one, which belongs to the
    thread or task. So a block may be used again, nested in itself, and shared between threads.
    """

    def __init__(self, change: Callable[[Mode], Mode]) -> None:
        self._change = change

    def __enter__(self) -> None:
        outer = MODE.get()
        inner = self._change(outer)
        MODE.set(inner if inner.outer is outer else replace(inner, outer=outer))

    def __exit__(self, *_: object) -> None:
        MODE.set(MODE.get().outer or PLAIN)

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Put all of `f`'s body into the block: also that of a generator or a coroutine."""

        @wraps(f)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return f(*args, **kwargs)

        @wraps(f)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await f(*args, **kwargs)

        @wraps(f)
        def stepwise(*args: Any, **kwargs: Any) -> Any:
            steps = f(*args, **kwargs)
            resume = partial(next, steps)
            while True:
                with self:
                    try:
                        item = resume()
                    except StopIteration as end:
                        return end.value
                try:  # outside the block: this is where the consumer runs
                    resume = partial(steps.send, (yield item))
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:
                    resume = partial(steps.throw, error)

        if isasyncgenfunction(f):
            raise DtypeError(f"{f.__name__}: is an async generator; write the `with` block inside")
        return awaited if iscoroutinefunction(f) else stepwise if isgeneratorfunction(f) else inside


def no_grad() -> Block:
    """Record nothing inside the block, or inside the decorated function; local to the thread."""
    return Block(lambda mode: replace(mode, recording=False))


def enable_grad() -> Block:
    """Record again inside a `no_grad` block."""
    return Block(lambda mode: replace(mode, recording=True))


def is_grad_enabled() -> bool:
    """Whether ops on tracked Tensors are recorded here."""
    return MODE.get().recording


_ENTRIES = count()


def scope(name: str) -> Block:
    """Name a part of the graph: nodes made inside belong to it; scopes nest with "/"."""
    if not isinstance(name, str):
        raise DtypeError(f"scope: expected the name of a part, a text, got {type(name).__name__}")
    parts = name.count("/") + 1 if name else 0

    def change(mode: Mode) -> Mode:
        path = "/".join(filter(None, (mode.scope, name)))
        entries = (*mode.entries, *[next(_ENTRIES)] * parts)
        # Every call of a module comes here: `replace` takes three times as long.
        return Mode(
            mode.recording, path, entries, mode.anomaly, mode.observers, mode.journal, mode.by_name,
            outer=mode,
        )  # fmt: skip

    return Block(change)


def detect_anomaly() -> Block:
    """Check every value, forward and backward, and name the first op that made a non-finite one.

    Also notices arrays that changed between forward and backward through an alias that the engine
    cannot see (an array taken from `.data` before the forward pass). Slow; for debugging.
    """
    return Block(lambda mode: replace(mode, anomaly=True))


def observe(observer: Callable[[Edge], object]) -> Block:
    """Call `observer(edge)` for every edge that a backward pass takes inside the block."""
    return Block(lambda mode: replace(mode, observers=(*mode.observers, observer)))

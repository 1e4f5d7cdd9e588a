"""What is in force around a computation: recording or not, a scope, watchers.

All of it is one immutable value in one context variable, so that it is local to the thread and
to the asyncio task, costs one look-up per op, and ends with its `with` block.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, NamedTuple

from tinygrad_edu.errors import DtypeError


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


class Block:
    """A `with` block (and decorator) in which some settings differ.

    Blocks must nest, as `with` makes them do; two generators that hold one each must be closed in
    the reverse order of their beginning.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._outer: list[Mode] = []

    def __enter__(self) -> None:
        self._outer.append(MODE.get())
        MODE.set(replace(MODE.get(), **self._settings))

    def __exit__(self, *_: object) -> None:
        MODE.set(self._outer.pop())

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Put all of `f`'s body into such a block: also that of a generator or a coroutine."""

        def again() -> Block:  # calls may overlap, so each has a block of its own
            return type(self)(**self._settings)

        @wraps(f)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with again():
                return f(*args, **kwargs)

        @wraps(f)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with again():
                return await f(*args, **kwargs)

        @wraps(f)
        def stepwise(*args: Any, **kwargs: Any) -> Any:
            steps, sent = f(*args, **kwargs), None
            while True:
                with again():
                    try:
                        item = steps.send(sent)
                    except StopIteration as end:
                        return end.value
                sent = yield item  # outside the block: this is where the consumer runs

        if isasyncgenfunction(f):
            raise DtypeError(f"{f.__name__}: is an async generator; write the `with` block inside")
        return awaited if iscoroutinefunction(f) else stepwise if isgeneratorfunction(f) else inside


def no_grad() -> Block:
    """Record nothing inside the block, or inside the decorated function; local to the thread."""
    return Block(recording=False)


def enable_grad() -> Block:
    """Record again inside a `no_grad` block."""
    return Block(recording=True)


def is_grad_enabled() -> bool:
    """Whether ops on tracked Tensors are recorded here."""
    return MODE.get().recording


class Scope(Block):
    """The block of `scope`, whose name depends on the scopes around it."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)

    def __enter__(self) -> None:
        outer = MODE.get()
        name = self._settings["name"]
        self._outer.append(outer)
        MODE.set(replace(outer, scope=f"{outer.scope}/{name}" if outer.scope else name))


def scope(name: str) -> Block:
    """Name a part of the graph: nodes made inside belong to it; scopes nest with "/"."""
    return Scope(name)


def detect_anomaly() -> Block:
    """Check every value, forward and backward, and name the first op that made a non-finite one.

    Also notices arrays that changed between forward and backward through an alias that the engine
    cannot see (an array taken from `.data` before the forward pass). Slow; for debugging.
    """
    return Block(anomaly=True)


def observe(observer: Callable[[Edge], object]) -> Block:
    """Call `observer(edge)` for every edge that a backward pass takes inside the block."""
    return Block(observers=(*MODE.get().observers, observer))

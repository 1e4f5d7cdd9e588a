"""Functions of functions: gradients, Jacobians, Hessians, forward mode, checkpointing.

Each makes fresh tracked copies of the arguments it differentiates by, calls the function, and runs
the one backward pass. What comes back are plain arrays for plain arguments, unless something
outside (an enclosing transform, a tracked tensor that the function uses) still wants to
differentiate the result: then it is a Tensor whose graph goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_edu.backward import backpropagate, plain
from tinygrad_edu.errors import DtypeError, GraphError, InputError
from tinygrad_edu.graph import Node, topological_order
from tinygrad_edu.mode import MODE, Block, enable_grad
from tinygrad_edu.op import Array, Op, wrt
from tinygrad_edu.tensor import Tensor, record, seed

Function = Callable[..., Any]
Argnums = int | tuple[int, ...]


def gradients(
    y: Tensor | Sequence[Tensor],
    xs: Tensor | Sequence[Tensor],
    g: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """Gradients of some tensors with respect to others, without touching any `.grad`.

    Args:
        y: one tensor, or several (their contributions are added).
        xs: one tensor, or several; leaves or intermediate results.
        g: cotangents of `y`, same structure; may be left out for one-element tensors.
        create_graph: make the gradients differentiable.
        retain_graph: keep the graph; by default what `create_graph` is.
        allow_unused: give zeros for an `x` that `y` does not depend on, instead of an error.

    Returns:
        A Tensor for one `x`, a tuple for several, each in the shape and dtype of its `x`.

    Raises:
        GraphError: if `y` or an `x` is not tracked, or `y` does not depend on an `x`.
        InputError: if a cotangent is missing or has the wrong shape.
    """
    one_y, one_x = isinstance(y, Tensor), isinstance(xs, Tensor)
    ys: Sequence[Tensor] = (y,) if isinstance(y, Tensor) else tuple(y)
    xs = (xs,) if isinstance(xs, Tensor) else tuple(xs)
    gs = (g,) if one_y or g is None else tuple(g)
    gs = gs * len(ys) if g is None else gs
    if len(gs) != len(ys):
        raise InputError(f"gradients: expected one g per y ({len(ys)}), got {len(gs)}")
    for what, tensors in (("y", ys), ("x", xs)):
        for position, tensor in enumerate(tensors):
            if not isinstance(tensor, Tensor) or not tensor.requires_grad:
                raise GraphError(
                    f"gradients: {what}[{position}] must be a Tensor that requires a gradient, "
                    f"got {tensor!r:.80}"
                )
    seeds: dict[Tensor, Any] = {}
    for tensor, given in zip(ys, gs, strict=True):
        cotangent = _seed(tensor, given, create_graph)
        seeds[tensor] = seeds[tensor] + cotangent if tensor in seeds else cotangent
    retain = create_graph if retain_graph is None else retain_graph
    found = _pull(seeds, xs, create_graph, retain)
    results = []
    for position, x in enumerate(xs):
        if x not in found and not allow_unused:
            raise GraphError(
                f"gradients: y does not depend on x[{position}]"
                + (f" ({x.name!r})" if x.name else "")
                + "; pass allow_unused=True to get zeros"
            )
        results.append(found[x] if x in found else Tensor(np.zeros_like(x._array)))
    return results[0] if one_x else tuple(results)


def value_and_grad(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns `f`'s value (one element) and its gradient.

    Args:
        f: function of arrays or Tensors.
        argnums: position(s) of the arguments to differentiate by; a tuple gives a tuple.

    Raises:
        DtypeError: if `f` is no function, or by the new function, if an argument is no float, or
            `f` returns no number.
        InputError: by the new function, if `f` returns more than one element.
    """
    _check_function("grad", f)
    _check_argnums("grad", argnums)

    @wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = _Call(f, args, kwargs, argnums, "grad")
        y = call.only_output()
        if y.size != 1:
            raise InputError(
                f"grad: {_name(f)} must return one element, got shape {y.shape}; use "
                "tg.jacobian, tg.elementwise_grad or tg.vjp"
            )
        return call.value(), call.by_argument(call.pull([(y, None)]))

    return evaluated


def grad(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns the gradient of `f`; see `value_and_grad`."""
    both = value_and_grad(f, argnums)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def elementwise_grad(f: Function, argnums: Argnums = 0) -> Function:
    """The derivative of a function that acts on each element alone, at each element.

    It is the gradient of the sum of the outputs: for a function that mixes elements that is no
    derivative of any one output; use `jacobian` there.
    """

    @wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        call = _Call(f, args, kwargs, argnums, "elementwise_grad")
        y = call.only_output()
        return call.by_argument(call.pull([(y, np.ones_like(y._array))]))

    return derivative


def vjp(f: Function, *xs: Any) -> tuple[Any, Function]:
    """Evaluate `f` and return its value with the function that pulls cotangents back.

    Args:
        f: function of `xs`; may return a tuple.
        *xs: its arguments.

    Returns:
        `(y, pull)`; `pull(g)` takes a cotangent of `y`'s shape (a tuple for a tuple) and returns
        that of `x`, a tuple for several `xs`. It can be called again.
    """
    call = _Call(f, xs, {}, tuple(range(len(xs))), "vjp")

    def pull(g: Any) -> Any:
        gs = list(g) if call.many else [g]
        if len(gs) != len(call.outputs):
            raise InputError(f"vjp: expected {len(call.outputs)} cotangents, got {len(gs)}")
        found = call.pull(zip(call.outputs, gs, strict=True), retain=True)
        return call.by_argument(found) if len(xs) > 1 else call.by_argument(found)[0]

    return call.value(), pull


def jvp(f: Function, xs: Any, vs: Any) -> tuple[Any, Any]:
    """Evaluate `f` and push tangents forward: `(f(*xs), J @ v)`.

    A vjp is linear in its cotangent u: u -> Jᵀu. The vjp of *that* function, at any u, is v -> Jv:
    so every op that has a gradient rule has forward mode as well.

    Args:
        f: function of `xs`; may return a tuple.
        xs: its argument, or a tuple of arguments.
        vs: the tangent, or a tuple of tangents, of the same shapes.

    Source: J. Townsend, "A new trick for calculating Jacobian vector products" (2017).
    """
    xs, vs = xs if isinstance(xs, tuple) else (xs,), vs if isinstance(vs, tuple) else (vs,)
    if len(xs) != len(vs):
        raise InputError(f"jvp: expected one tangent per argument ({len(xs)}), got {len(vs)}")
    call = _Call(f, xs, {}, tuple(range(len(xs))), "jvp")
    tangents = {x: _seed(x, v, create_graph=True) for x, v in zip(call.inner, vs, strict=True)}
    # By tensor, so that one that is returned twice has one dummy cotangent.
    dummies = {y: Tensor(np.zeros_like(y._array), y.requires_grad) for y in call.outputs}
    live = {y: u for y, u in dummies.items() if y.requires_grad}
    transposed: dict[Tensor, Any] = _pull(live, call.inner, True, True) if live else {}
    onward = call.open or any(isinstance(v, Tensor) and v.requires_grad for v in vs)
    seeds: dict[Tensor, Any] = {}
    for x, x_bar in transposed.items():  # two arguments may have one and the same cotangent
        if x_bar.requires_grad:
            tangent = tangents[x] if onward else plain(tangents[x])
            seeds[x_bar] = seeds[x_bar] + tangent if x_bar in seeds else tangent
    found = _pull(seeds, list(live.values()), onward, onward) if seeds else {}
    dys = [found.get(dummies[y], Tensor(np.zeros_like(y._array))) for y in call.outputs]
    shown = tuple(call.outward(dy) for dy in dys)
    return call.value(), shown if call.many else shown[0]


def hvp(f: Function, x: Any, v: Any) -> Any:
    """Hessian-vector product of a function with one output: the gradient of ⟨∇f(x), v⟩.

    Args:
        f: function of one argument, returns one element.
        x: where; any shape.
        v: direction, of `x`'s shape.

    Raises:
        InputError: if `f` returns more than one element or `v` has another shape.
    """
    call = _Call(f, (x,), {}, 0, "hvp")
    (inner,) = call.inner
    y = call.only_output()
    direction = _seed(inner, v, create_graph=True)
    gradient = _pull({y: _seed(y, None, True)}, [inner], True, True).get(inner)
    if gradient is None or not gradient.requires_grad:
        return call.by_argument({})
    onward = call.open or (isinstance(v, Tensor) and v.requires_grad)
    seeds = {gradient: direction if onward else plain(direction)}
    return call.by_argument(_pull(seeds, [inner], onward, onward))


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns all partial derivatives, shape `y.shape + x.shape`.

    One backward pass per element of the output. For an `f` that returns a tuple, a tuple.
    """

    @wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> Any:
        call = _Call(f, args, kwargs, argnums, "jacobian")
        blocks = []
        for y in call.outputs:
            basis = np.eye(y.size, dtype=y.dtype).reshape((y.size, *y.shape))
            rows = [call.pull([(y, g)], retain=True) for g in basis]
            blocks.append(call.by_argument({x: _stacked(rows, x, y.shape) for x in call.inner}))
        return tuple(blocks) if call.many else blocks[0]

    return evaluated


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns all second derivatives, shape `x.shape + x.shape`.

    For a tuple of argnums, a tuple of tuples: block (i, j) is ∂²f / ∂x_i ∂x_j.
    """
    return jacobian(grad(f, argnums), argnums)


def checkpoint(f: Function) -> Function:
    """A function equal to `f` that keeps no intermediate results, and computes them again.

    Backward calls `f` a second time: memory for time. `f` must return one Tensor and be
    deterministic (which is checked); tracked tensors that it uses without being passed them get
    their gradients too.

    Raises:
        DtypeError: by the new function, if `f` does not return a Tensor.
        GraphError: in backward, if the second call gives another result.

    Source: T. Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016).
    """

    @wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> Any:
        if not MODE.get().recording:
            return f(*args, **kwargs)
        args = tuple(x.copy() if isinstance(x, np.ndarray) else x for x in args)
        tracked = tuple(i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad)
        detached = tuple(x.detach() if i in tracked else x for i, x in enumerate(args))
        made: list[Node] = []
        with Block(lambda mode: replace(mode, journal=made)):
            call = _Call(f, detached, kwargs, tracked, "checkpoint")
        y = call.only_output()
        outside = _used_from_outside(made, y, call.inner)
        again = _Again(f, args, kwargs, tracked, outside)
        data = y._array
        op = Op(
            name=f"checkpoint({_name(f)})",
            function=f,
            forward=lambda *values: data,
            public=lambda *values: data,
            arguments=("*inputs",),
            rules=(wrt("*inputs", again),),
            vjps=(again,),
            variadic=True,
        )
        return record(op, (*(args[i] for i in tracked), *outside))

    return evaluated


class _Again:
    """The rule of a checkpoint: call the function a second time, and differentiate that call."""

    def __init__(
        self,
        f: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tracked: tuple[int, ...],
        outside: tuple[Any, ...],
    ) -> None:
        self.f, self.kwargs = f, kwargs
        self.args = tuple(None if i in tracked else x for i, x in enumerate(args))
        self.tracked, self.outside = tracked, outside
        # A cotangent, what it held then (the array of a tracked one may be replaced), and shares.
        # In one piece, as threads may share a graph.
        self.known: tuple[Array, Array, dict[int, Array]] = (None, None, {})

    def __call__(self, g: Array, out: Array, *inputs: Array, position: int) -> Array:
        known, then, shares = self.known
        same = known is g and position in shares and np.array_equal(plain(g), then, equal_nan=True)
        if not same:  # one second call serves all inputs
            shares = dict(enumerate(self._shares(g, out, inputs)))
            self.known = g, plain(g).copy(), shares
        share = shares.pop(position)
        if not shares:
            self.known = (None, None, {})
        return share

    def _shares(self, g: Array, out: Array, inputs: tuple[Array, ...]) -> list[Array]:
        onward = isinstance(g, Tensor)
        given = list(self.args)
        for i, x in zip(self.tracked, inputs, strict=False):
            given[i] = x if isinstance(x, Tensor) else Tensor(x)
        for x, then in zip(self.outside, inputs[len(self.tracked) :], strict=True):
            if x.is_leaf and not np.array_equal(plain(then), x._array, equal_nan=True):
                raise GraphError(
                    f"checkpoint: {_name(self.f)} uses a tensor that changed since it was called"
                    + (f": {x.name!r}" if x.name else "")
                )
        with Block(
            lambda mode: replace(mode, observers=())
        ):  # the second call is no part of the graph that is watched
            call = _Call(self.f, tuple(given), self.kwargs, self.tracked, "checkpoint")
            y = call.only_output()
            if not np.array_equal(plain(out), y._array, equal_nan=True):
                raise GraphError(
                    f"checkpoint: {_name(self.f)} gave another result when called again; it must "
                    "be deterministic (pass random numbers in as arguments)"
                )
            xs = [*call.inner, *self.outside]
            found = _pull({y: g}, xs, onward, onward)
        shares = [found[x] if x in found else Tensor(np.zeros_like(x._array)) for x in xs]
        return shares if onward else [plain(share) for share in shares]


class _Call:
    """`f` called with fresh tracked copies of the arguments that it is differentiated by."""

    def __init__(
        self, f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums, by: str
    ) -> None:
        self.f, self.args, self.by = f, args, by
        self.single = isinstance(argnums, int)
        self.positions = _positions(argnums, len(args), by)
        outer_recording = MODE.get().recording
        with enable_grad():
            self.inner = [self._tracked(i, outer_recording) for i in self.positions]
            given = list(args)
            for i, x in zip(self.positions, self.inner, strict=True):
                given[i] = x
            result = f(*given, **kwargs)
        self.many = isinstance(result, (tuple, list))
        self.outputs = [self._output(y) for y in (result if self.many else [result])]
        self.open = outer_recording and self.foreign()

    def _tracked(self, position: int, outer_recording: bool) -> Tensor:
        x = self.args[position]
        if isinstance(x, Tensor) and x.requires_grad and outer_recording:
            return +x  # a node of its own: its gradient is not mixed with other uses of x
        data = x._array if isinstance(x, Tensor) else x
        tensor = Tensor(data)
        if tensor.dtype.kind != "f":
            raise DtypeError(
                f"{self.by}: argument {position} of {_name(self.f)} must be float to be "
                f"differentiated by, got dtype {tensor.dtype}; write 3.0 instead of 3, or pass "
                "np.asarray(x, float)"
            )
        tensor.requires_grad = True
        tensor.name = x.name if isinstance(x, Tensor) else None
        return tensor

    def _output(self, y: Any) -> Tensor:
        if isinstance(y, Tensor):
            return y
        if y is None or not isinstance(y, (int, float, np.ndarray, np.generic)):
            raise DtypeError(
                f"{self.by}: {_name(self.f)} must return a number or an array, got "
                f"{type(y).__name__}"
            )
        return Tensor(np.asarray(y, float))  # does not depend on the arguments: zero gradient

    def only_output(self) -> Tensor:
        if self.many:
            raise DtypeError(
                f"{self.by}: {_name(self.f)} must return one array, got a {len(self.outputs)}-tuple"
            )
        return self.outputs[0]

    def foreign(self) -> bool:
        """Whether the outputs depend on tracked tensors outside `f` too."""
        inner = set(self.inner)
        leaves = (
            x
            for node in (*topological_order(self.outputs), *self.outputs)
            for x in (*(node._inputs or ()), node)
            if isinstance(x, Node) and x._tracked and x._op is None
        )
        return any(leaf not in inner for leaf in leaves)

    def pull(self, pairs: Iterable[tuple[Tensor, Any]], retain: bool = False) -> dict[Tensor, Any]:
        """Gradients of the inner arguments, from pairs of an output and its cotangent."""
        pairs = list(pairs)
        onward = self.open or any(isinstance(g, Tensor) and g.requires_grad for _, g in pairs)
        seeds: dict[Tensor, Any] = {}
        for y, g in pairs:
            cotangent = _seed(y, g, onward)
            if y.requires_grad:
                seeds[y] = seeds[y] + cotangent if y in seeds else cotangent
        return _pull(seeds, self.inner, onward, retain or onward)

    def by_argument(self, found: dict[Tensor, Any]) -> Any:
        """Gradients in the order of argnums; zeros where the output does not depend on one."""
        results = tuple(
            self.outward(found[x] if x in found else Tensor(np.zeros_like(x._array)), self.args[i])
            for i, x in zip(self.positions, self.inner, strict=True)
        )
        return results[0] if self.single else results

    def value(self) -> Any:
        """What `f` returned, as the caller expects it."""
        # Not open: the graph ends at our own copies, and is ours alone.
        shown = tuple(self.outward(y if self.open else Tensor(y.detach())) for y in self.outputs)
        return shown if self.many else shown[0]

    def outward(self, result: Tensor, like: Any = None) -> Any:
        """A result for the caller: with its graph if it has one, plain if the arguments were."""
        likes = [like] if like is not None else [self.args[i] for i in self.positions]
        if self.open or result.requires_grad or any(isinstance(x, Tensor) for x in likes):
            return result
        return result._array if isinstance(like, np.ndarray) else result._array[()]


def _pull(
    seeds: dict[Tensor, Any], xs: Sequence[Tensor], create_graph: bool, retain: bool
) -> dict[Tensor, Any]:
    """`backpropagate` with Tensors as results."""
    with enable_grad() if create_graph and not MODE.get().recording else nullcontext():
        found = backpropagate(seeds, xs, create_graph=create_graph, retain_graph=retain)
    return {
        x: found[x] if isinstance(found[x], Tensor) else Tensor(found[x]) for x in xs if x in found
    }


def _used_from_outside(
    made: Sequence[Node], output: Node, inner: Sequence[Tensor]
) -> tuple[Any, ...]:
    """Tracked tensors that a call used or returned, but neither made nor was given as `inner`."""
    own = {*made, *inner}
    used = [x for node in made for x in node._inputs or () if isinstance(x, Node)]
    return tuple(dict.fromkeys(x for x in (*used, output) if x._tracked and x not in own))


def _seed(y: Tensor, g: Any, create_graph: bool) -> Any:
    if create_graph and isinstance(g, Tensor) and g.requires_grad:
        seed(y, g, "gradients")
        return g
    cotangent = seed(y, g, "gradients")
    return Tensor(cotangent) if create_graph else cotangent


def _stacked(rows: list[dict[Tensor, Any]], x: Tensor, shape: tuple[int, ...]) -> Tensor:
    if not rows:
        return Tensor(np.zeros(shape + x.shape, x.dtype))
    zeros = Tensor(np.zeros_like(x._array))
    stacked: Any = np.stack([row.get(x, zeros) for row in rows])
    return stacked.reshape(shape + x.shape)


def _check_function(by: str, f: Any) -> None:
    """Refuse `tg.grad(loss)`, where PyTorch's `grad(loss, w)` was meant."""
    if not callable(f):
        raise DtypeError(
            f"{by}: expected a function, got {f!r:.60}; for a Tensor t, call t.backward() or "
            "tg.gradients(t, x)"
        )


def _check_argnums(by: str, argnums: Any) -> None:
    """Refuse `tg.grad(f, 2.0)`, which meant `tg.grad(f)(2.0)`, before it becomes a riddle."""
    numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    if not all(isinstance(number, int) for number in numbers):
        raise DtypeError(
            f"{by}: argnums must be an int or a tuple of ints, got {argnums!r:.60}; "
            f"{by}(f) returns a function: call it as {by}(f)(x)"
        )


def _positions(argnums: Argnums, count: int, by: str) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not isinstance(number, int) or not -count <= number < count:
            raise InputError(f"{by}: argnums {argnums} do not fit a call with {count} arguments")
    positions = tuple(number % count for number in numbers)
    if len(set(positions)) < len(positions):
        raise InputError(f"{by}: argnums {argnums} name an argument twice")
    return positions


def _name(f: Function) -> str:
    return getattr(f, "__name__", type(f).__name__)

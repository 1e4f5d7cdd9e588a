"""An exact oracle for functions that are affine in each argument, which most ops here are.

Along one argument such a function f has no curvature, so the central difference with step one,
(f(x + v) - f(x - v)) / 2, is its derivative along v up to rounding: no step size, no loose bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_edu as tg

Function = Callable[..., Any]


def check_affine(f: Function, *shapes: tuple[int, ...] | np.ndarray) -> None:
    """Check f, written in NumPy, on Tensors: values, gradients, forward mode, second order.

    Arguments are given by their shapes, or as arrays.
    """
    rng = np.random.default_rng(7)
    xs = [s if isinstance(s, np.ndarray) else rng.normal(size=s) for s in shapes]
    vs = [rng.normal(size=x.shape) for x in xs]
    ys = as_list(f(*xs))
    gs = [rng.normal(size=np.shape(y)) for y in ys]

    tensors = [tg.Tensor(x, requires_grad=True) for x in xs]
    results = as_list(f(*tensors))
    assert len(results) == len(ys)
    for result, y in zip(results, ys, strict=True):
        assert result.shape == np.shape(y)
        np.testing.assert_allclose(result.detach().numpy(), y, rtol=1e-13, atol=1e-13)

    grads = reverse(f, xs, gs)
    slopes = [along(f, xs, i, vs[i]) for i in range(len(xs))]
    for i, grad in enumerate(grads):
        assert grad.shape == xs[i].shape
        close(np.vdot(grad, vs[i]), inner(gs, slopes[i]), f"gradient of argument {i}")

    _, dys = tg.jvp(f, tuple(xs), tuple(vs))
    for j, dy in enumerate(as_list(dys)):
        close(dy, sum(slope[j] for slope in slopes), f"forward mode of output {j}")

    for i in range(len(xs)):  # phi = <gradient of argument i, v_i> is affine in every other one

        def phi(*xs: Any, i: int = i) -> Any:
            return np.vdot(reverse(f, xs, gs)[i], vs[i])

        found = mixed(f, xs, gs, i, vs[i])
        for k in range(len(xs)):
            if k != i:
                close(np.vdot(found[k], vs[k]), along(phi, xs, k, vs[k])[0], f"second order {i, k}")


def reverse(f: Function, xs: Sequence[Any], gs: Sequence[Any]) -> list[np.ndarray]:
    """The gradients of <f(xs), gs>, as arrays."""
    tensors = [tg.Tensor(x, requires_grad=True) for x in xs]
    grads = tg.gradients(as_list(f(*tensors)), tensors, gs, allow_unused=True)
    return [grad.numpy() for grad in grads]


def mixed(f: Function, xs: Sequence[Any], gs: Sequence[Any], i: int, v: Any) -> list[np.ndarray]:
    """The gradients of <gradient of argument i, v>: second order."""
    tensors = [tg.Tensor(x, requires_grad=True) for x in xs]
    first = tg.gradients(as_list(f(*tensors)), tensors[i], gs, create_graph=True)
    if not first.requires_grad:  # f is affine as a whole
        return [np.zeros_like(x) for x in xs]
    grads = tg.gradients(np.sum(first * v), tensors, allow_unused=True)
    return [grad.numpy() for grad in grads]


def along(f: Function, xs: Sequence[Any], i: int, v: Any) -> list[np.ndarray]:
    """The derivative of f along v in argument i; exact, since f is affine in it."""
    ahead, behind = (as_list(f(*xs[:i], xs[i] + step, *xs[i + 1 :])) for step in (v, -v))
    return [(np.asarray(a) - b) / 2 for a, b in zip(ahead, behind, strict=True)]


def inner(gs: Sequence[Any], ys: Sequence[Any]) -> float:
    return float(sum(np.vdot(g, y) for g, y in zip(gs, ys, strict=True)))


def close(actual: Any, expected: Any, what: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11, err_msg=what)


def as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]

"""Pooling: the maximum or the mean of windows.

A window is a box, and so pooling works axis by axis: the maximum over rows of the maxima over
columns. Each step is an op along one axis that goes over the few places in a window, not over the
many windows. Where a window reaches over the edge, only the part inside counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.windows import Ints, Sizes, as_array, check_fits, each_axis, positions

Along = tuple[int, int, int, int, int, int]  # axis, kernel, stride, padding, dilation, count


def _places(x_shape: Ints, along: Along) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each place in a window: which windows have it inside, and where it lies for them."""
    axis, kernel, stride, padding, dilation, count = along
    before = (slice(None),) * axis
    for start in range(-padding, kernel * dilation - padding, dilation):
        first = max(0, -(start // stride))
        end = min(count, (x_shape[axis] - 1 - start) // stride + 1)
        if first < end:
            low, high = start + first * stride, start + (end - 1) * stride + 1
            yield (*before, slice(first, end)), (*before, slice(low, high, stride))


def _all_inside(shape: Ints, along: Along) -> bool:
    """Whether no window reaches over the edge."""
    axis, kernel, stride, padding, dilation, count = along
    return padding == 0 and (count - 1) * stride + (kernel - 1) * dilation < shape[axis]


def _overlap(along: Along) -> bool:
    _, kernel, stride, _, dilation, _ = along
    return stride <= (kernel - 1) * dilation


def _pooled_shape(shape: Ints, along: Along) -> Ints:
    return (*shape[: along[0]], along[-1], *shape[along[0] + 1 :])


# -- the largest of each window ------------------------------------------------------------------


def _lowest(dtype: Any) -> Any:
    return -math.inf if dtype.kind == "f" else np.iinfo(dtype).min


@op(
    wrt(
        "x",
        lambda g, out, x, *, along: to_places(
            g, first_largest(x, out, along=along), shape=x.shape, along=along
        ),
        DISTINCT,
    )
)
def max_along(x: Array, *, along: Along) -> Array:
    """The maximum of each window along one axis; NaN where there is one in the window."""
    places = _places(x.shape, along)
    if _all_inside(x.shape, along):
        return reduce(np.maximum, (x[inside] for _, inside in places))
    out = np.full_like(x, _lowest(x.dtype), shape=_pooled_shape(x.shape, along))
    for windows, inside in places:
        out[windows] = np.maximum(out[windows], x[inside])
    return out


@op()
def first_largest(x: Array, largest: Array, *, along: Along) -> Array:
    """In each window the place of the first maximum, or of the first NaN if there is one."""
    usual = type(largest) is np.ndarray and not np.isnan(largest).any()

    def others(part: Array, largest: Array) -> Array:  # x < NaN is false for every x
        return part < largest if usual else (part == part) & (part != largest)

    dtype = np.min_scalar_type(along[1])
    places = _places(x.shape, along)
    if _all_inside(x.shape, along):
        first, *rest = (x[inside] for _, inside in places)
        smaller = others(first, largest)  # so far
        place = smaller.astype(dtype)
        for part in rest[:-1]:  # if all are smaller, it is the last
            smaller &= others(part, largest)
            place += smaller
        return place
    place = np.zeros_like(largest, dtype=dtype)
    smaller = np.ones_like(largest, dtype=bool)
    for windows, inside in places:
        smaller[windows] &= others(x[inside], largest[windows])
        place += smaller
    return place


@op(wrt("y", lambda g, out, y, place, *, shape, along: from_places(g, place, along=along)))
def to_places(y: Array, place: Array, *, shape: Ints, along: Along) -> Array:
    """Zeros of `shape` with each window's number added at its place in the window."""
    x = np.zeros_like(place, y.dtype, shape=shape)  # the axes in memory as in the forward pass
    places = enumerate(_places(shape, along))
    if type(y) is not np.ndarray or _overlap(along) or not np.isfinite(y).all():
        for i, (windows, inside) in places:
            x[inside] += safe_multiply(y[windows], place[windows] == i)
        return x
    if y.flags.c_contiguous != place.flags.c_contiguous:  # rearranged once, not at every place
        y, given = np.empty_like(place, y.dtype), y
        y[...] = given
    for i, (windows, inside) in places:
        np.multiply(y[windows], place[windows] == i, out=x[inside])
    return x


@op(
    wrt(
        "x",
        lambda g, out, x, place, *, along: to_places(g, place, shape=x.shape, along=along),
    )
)
def from_places(x: Array, place: Array, *, along: Along) -> Array:
    """The adjoint of `to_places`: what stands at each window's place."""
    y = np.zeros_like(x, shape=_pooled_shape(x.shape, along))
    for i, (windows, inside) in enumerate(_places(x.shape, along)):
        y[windows] += safe_multiply(x[inside], place[windows] == i)
    return y


# -- the sum of each window ----------------------------------------------------------------------


@op(wrt("x", lambda g, out, x, *, along: add_back_along(g, shape=x.shape, along=along)))
def sum_along(x: Array, *, along: Along) -> Array:
    """The sum of each window along one axis."""
    places = _places(x.shape, along)
    if _all_inside(x.shape, along):
        return reduce(np.add, (x[inside] for _, inside in places))
    y = np.zeros_like(x, shape=_pooled_shape(x.shape, along))
    for windows, inside in places:
        y[windows] += x[inside]
    return y


@op(wrt("y", lambda g, out, y, *, shape, along: sum_along(g, along=along)))
def add_back_along(y: Array, *, shape: Ints, along: Along) -> Array:
    """The adjoint of `sum_along`: each window's number at all its places."""
    x = np.zeros_like(y, shape=shape)
    for windows, inside in _places(shape, along):
        if _overlap(along):
            x[inside] += y[windows]
        else:
            x[inside] = y[windows]
    return x


# -- pooling as people call it -------------------------------------------------------------------


def check_images(function: str, x: Array, axes: int) -> None:
    """Refuse what has not so many spatial axes, after channels and maybe a batch.

    Raises:
        InputError: if it has not.
    """
    if x.ndim not in (axes + 1, axes + 2):
        letters = ", ".join("DHW"[-axes:])
        raise InputError(
            f"{function}: expected x (N, C, {letters}) or (C, {letters}), got {x.shape}"
        )


def _plan(
    function: str,
    x: Array,
    axes: int,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> list[Along]:
    """What to do along each axis, the last one first: so the first of equal maxima wins."""
    check_images(function, x, axes)
    size = x.shape[-axes:]
    kernel = each_axis(function, "kernel_size", kernel_size, axes)
    strides = kernel if stride is None else each_axis(function, "stride", stride, axes)
    pads = each_axis(function, "padding", padding, axes, 0)
    dilations = each_axis(function, "dilation", dilation, axes)
    check_fits(function, size, kernel, tuple((n, n) for n in pads), dilations)
    plan = []
    for i, (n, k, s, p, d) in enumerate(zip(size, kernel, strides, pads, dilations, strict=True)):
        if p > (d * (k - 1) + 1) // 2:
            raise InputError(
                f"{function}: expected padding of at most half the kernel, got padding {pads} for "
                f"a kernel of {kernel}"
            )
        # One more window in ceil_mode, but none that lies in the padding alone.
        count = positions(n + (s - 1 if ceil_mode else 0), k, s, (p, p), d)
        count -= (count - 1) * s >= n + p
        plan.append((x.ndim - axes + i, k, s, p, d, count))
    return plan[::-1]


def _max_pool(
    axes: int,
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    x = as_array(x)
    size = x.shape[-axes:]
    plan = _plan(f"max_pool{axes}d", x, axes, kernel_size, stride, padding, dilation, ceil_mode)
    indices: Array = None
    if return_indices:
        indices = np.broadcast_to(np.arange(math.prod(size)).reshape(size), x.shape)
    for along in plan:
        largest = max_along(x, along=along)
        if return_indices:
            indices = from_places(indices, first_largest(x, largest, along=along), along=along)
        x = largest
    return (x, indices) if return_indices else x


def _avg_pool(
    axes: int,
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    x = as_array(x)
    function = f"avg_pool{axes}d"
    if divisor_override is not None and divisor_override == 0:
        raise InputError(f"{function}: expected divisor_override other than 0, got 0")
    total, counts = x, np.ones((1,) * axes)
    for along in _plan(function, x, axes, kernel_size, stride, padding, 1, ceil_mode):
        total = sum_along(total, along=along)
        axis, kernel, stride_, pad, _, count = along
        start = np.arange(count) * stride_ - pad
        edge = pad if count_include_pad else 0
        reached = np.minimum(start + kernel, x.shape[axis] + edge) - np.maximum(start, -edge)
        counts = counts * reached.reshape((-1, *(1,) * (x.ndim - 1 - axis)))
    if divisor_override is not None:
        return total / divisor_override
    if (counts == counts.flat[0]).all():  # also where there are no windows
        return total / float(counts.flat[0])
    return total / counts.astype(total.dtype if total.dtype.kind == "f" else float)


@composite
def max_pool1d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of sequences, (N, C, L) or (C, L); see `max_pool2d`."""
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite
def max_pool2d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of images.

    Of equal maxima the first in the window, row by row, gets the whole gradient, as in PyTorch.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size: of a window, a number or (height, width), as the other options.
        stride: from one window to the next; by default the kernel's size, so that none overlap.
        padding: how far windows reach over the edge, at most half a kernel; never a maximum.
        dilation: from one element of a window to the next.
        ceil_mode: keep the last window even if it reaches over the edge.
        return_indices: return also where in the flattened image each maximum was.

    Returns:
        (N, C, H', W') or (C, H', W'); with `return_indices` a pair, integers second.

    Raises:
        InputError: if shapes or options do not fit.
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite
def max_pool3d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of volumes, (N, C, D, H, W) or (C, D, H, W); see `max_pool2d`."""
    return _max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite
def avg_pool1d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window of sequences, (N, C, L) or (C, L); see `avg_pool2d`."""
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@composite
def avg_pool2d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The mean of each window of images.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size: of a window, a number or (height, width), as the other options.
        stride: from one window to the next; by default the kernel's size.
        padding: how far windows reach over the edge, at most half a kernel.
        ceil_mode: keep the last window even if it reaches over the edge.
        count_include_pad: count the padding as zeros; otherwise only what is inside counts.
        divisor_override: divide the sum by this instead.

    Returns:
        (N, C, H', W') or (C, H', W').

    Raises:
        InputError: if shapes or options do not fit.
    """
    return _avg_pool(
        2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@composite
def avg_pool3d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The mean of each window of volumes, (N, C, D, H, W) or (C, D, H, W); see `avg_pool2d`."""
    return _avg_pool(
        3, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )

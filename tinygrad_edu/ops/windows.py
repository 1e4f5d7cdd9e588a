"""Windows: what a kernel sees of an image, place by place, and how to add it up again.

Convolution and pooling are made of these. A window moves over the spatial axes, the last ones; how
it moves is said by a number for each of them: `stride` from one window to the next, `padding` with
zeros around the image, `dilation` from one element of a window to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from tinygrad_edu.errors import InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, composite, op, register, wrt

Sizes = int | Sequence[int]  # one number for all spatial axes, or one for each
Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]  # zeros before and after, for each spatial axis
Steps = tuple[Ints, Pads, Ints]  # stride, padding, dilation


# -- options and sizes ---------------------------------------------------------------------------


def as_array(x: Any) -> Array:
    """A list as an array; what is one already as it is."""
    return x if hasattr(x, "ndim") else np.asarray(x)


def each_axis(function: str, option: str, value: Sizes, axes: int, least: int = 1) -> Ints:
    """An option with a number for each spatial axis.

    Raises:
        InputError: if there are not as many as axes, or one is below `least`.
    """
    if type(value) is int and value >= least:  # the frequent case at once
        return (value,) * axes
    values = tuple(value) if isinstance(value, Sequence | np.ndarray) else (value,) * axes
    if len(values) != axes or any(not hasattr(n, "__index__") or n < least for n in values):
        raise InputError(
            f"{function}: expected {option} to be an integer of at least {least}, or {axes} of "
            f"them, got {value!r}"
        )
    return tuple(map(int, values))


def positions(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> int:
    """How many places a kernel has along an axis; 0 or less if it does not fit."""
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


def check_fits(function: str, size: Ints, kernel: Ints, pads: Pads, dilation: Ints) -> None:
    """Refuse a kernel that is larger than the padded image.

    Raises:
        InputError: if it is, along any axis, or has length 0.
    """
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    room = padded_size(pads, size)
    if not all(k > 0 and need <= n for k, need, n in zip(kernel, reach, room, strict=True)):
        raise InputError(
            f"{function}: expected a kernel that fits into the input, got a kernel of {kernel} "
            f"(with its dilation {reach}) for an input of {size} (with its padding {room})"
        )


def check_arrays(function: str, *arrays: Any) -> None:
    """Refuse other kinds of arrays than NumPy's.

    Raises:
        UnsupportedError: if there is one.
    """
    for x in arrays:
        if not isinstance(x, np.ndarray):
            raise UnsupportedError(
                f"{function}: expected NumPy arrays, which can be read through overlapping "
                f"windows, got {type(x).__module__}.{type(x).__name__}"
            )


# -- as views --------------------------------------------------------------------------------


def window_view(
    x: Array, axis: int, kernel: Ints, count: Ints, stride: Ints, dilation: Ints
) -> Array:
    """What the kernel sees: a view (..., *kernel, *count, ...) in place of the axes from `axis`."""
    end = axis + len(kernel)
    steps = x.strides[axis:end]
    return as_strided(
        x,
        (*x.shape[:axis], *kernel, *count, *x.shape[end:]),
        (
            *x.strides[:axis],
            *(d * n for d, n in zip(dilation, steps, strict=True)),
            *(s * n for s, n in zip(stride, steps, strict=True)),
            *x.strides[end:],
        ),
        writeable=False,
    )


def add_views(windows: Array, axis: int, size: Ints, stride: Ints, dilation: Ints) -> Array:
    """The adjoint of `window_view`: add (..., *kernel, *count, ...) up to (..., *size, ...)."""
    dims = len(size)
    kernel, count = windows.shape[axis : axis + dims], windows.shape[axis + dims : axis + 2 * dims]
    rest = windows.shape[axis + 2 * dims :]
    total = np.zeros((*windows.shape[:axis], *size, *rest), windows.dtype)
    before = (slice(None),) * axis
    for place in product(*map(range, kernel)):
        seen = (
            slice(d * i, d * i + s * (n - 1) + 1, s)
            for i, n, s, d in zip(place, count, stride, dilation, strict=True)
        )
        total[(*before, *seen)] += windows[(*before, *place)]
    return total


def inside(padding: Pads, size: Ints) -> tuple[slice, ...]:
    """Where the image lies in the padded one."""
    return tuple(slice(low, low + n) for (low, _), n in zip(padding, size, strict=True))


def padded_size(padding: Pads, size: Sequence[int]) -> Ints:
    """The size with the padding."""
    return tuple(low + n + high for (low, high), n in zip(padding, size, strict=True))


def padded(x: Array, axis: int, padding: Pads) -> Array:
    """`x` as one block of memory, with zeros around the axes from `axis` on."""
    if not any(map(any, padding)):
        return np.ascontiguousarray(x)
    end = axis + len(padding)
    size = x.shape[axis:end]
    larger = np.zeros((*x.shape[:axis], *padded_size(padding, size), *x.shape[end:]), dtype=x.dtype)
    larger[(*(slice(None),) * axis, *inside(padding, size))] = x
    return larger


# -- unfold and fold -----------------------------------------------------------------------------


@op(
    wrt(
        "x",
        lambda g, out, x, *, kernel, how: add_windows(g, size=x.shape[2:], kernel=kernel, how=how),
    )
)
def windows(x: Array, *, kernel: Ints, how: Steps) -> Array:
    """`unfold` with its options spelled out; `how` is (stride, padding, dilation)."""
    check_arrays("unfold", x)
    stride, padding, dilation = how
    count = tuple(map(positions, x.shape[2:], kernel, stride, padding, dilation))
    seen = window_view(padded(x, 2, padding), 2, kernel, count, stride, dilation)
    return seen.reshape((x.shape[0], x.shape[1] * math.prod(kernel), math.prod(count)))


@op(wrt("y", lambda g, out, y, *, size, kernel, how: windows(g, kernel=kernel, how=how)))
def add_windows(y: Array, *, size: Ints, kernel: Ints, how: Steps) -> Array:
    """The adjoint of `windows`: `fold` with its options spelled out."""
    stride, padding, dilation = how
    count = tuple(map(positions, size, kernel, stride, padding, dilation))
    channels = y.shape[1] // math.prod(kernel)
    seen = y.reshape((y.shape[0], channels, *kernel, *count))
    total = add_views(seen, 2, padded_size(padding, size), stride, dilation)
    if not any(map(any, padding)):
        return total
    return np.ascontiguousarray(total[(..., *inside(padding, size))])


def _steps(function: str, size: Ints, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """(kernel, (stride, padding, dilation)) with a number per axis, checked."""
    kernel = each_axis(function, "kernel_size", kernel, 2)
    dilation = each_axis(function, "dilation", dilation, 2)
    stride = each_axis(function, "stride", stride, 2)
    pads = tuple((n, n) for n in each_axis(function, "padding", padding, 2, 0))
    check_fits(function, size, kernel, pads, dilation)
    return kernel, (stride, pads, dilation)


@composite
def unfold(
    x: Array, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Array:
    """All windows of images as columns (im2col): a convolution is a matrix product with them.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size: of a window, a number or (height, width), as the other options.
        dilation: from one element of a window to the next.
        padding: zeros at both ends of an axis.
        stride: from one window to the next.

    Returns:
        (N, C · kh · kw, windows), or without N.

    Raises:
        InputError: if shapes or options do not fit.
    """
    x = as_array(x)
    if x.ndim not in (3, 4):
        raise InputError(f"unfold: expected x (N, C, H, W) or (C, H, W), got {x.shape}")
    kernel, how = _steps("unfold", x.shape[-2:], kernel_size, dilation, padding, stride)
    if x.ndim == 4:
        return windows(x, kernel=kernel, how=how)
    return windows(np.expand_dims(x, 0), kernel=kernel, how=how)[0]


@composite
def fold(
    x: Array,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Array:
    """The adjoint of `unfold` (col2im): where windows overlap, they add up.

    Args:
        x: (N, C · kh · kw, windows), or without N.
        output_size: (H, W) of the images.
        kernel_size: as for `unfold`, and the other options too.
        dilation: from one element of a window to the next.
        padding: cut off at both ends of an axis.
        stride: from one window to the next.

    Returns:
        (N, C, H, W), or without N.

    Raises:
        InputError: if shapes or options do not fit.
    """
    x = as_array(x)
    size = each_axis("fold", "output_size", output_size, 2)
    kernel, how = _steps("fold", size, kernel_size, dilation, padding, stride)
    count = tuple(map(positions, size, kernel, *how))
    if x.ndim not in (2, 3) or x.shape[-2] % math.prod(kernel) or x.shape[-1] != math.prod(count):
        raise InputError(
            f"fold: expected x (N, C · {math.prod(kernel)}, {math.prod(count)}) for windows of "
            f"{kernel} in images of {size}, got {x.shape}"
        )
    batch = x if x.ndim == 3 else np.expand_dims(x, 0)
    images = add_windows(batch, size=size, kernel=kernel, how=how)
    return images if x.ndim == 3 else images[0]


# -- one window per element --------------------------------------------------------------------


def _bind_sliding(
    x: Array, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Bound:
    if subok or writeable:
        raise UnsupportedError(
            "sliding_window_view: options 'subok' and 'writeable' have no gradient rule"
        )
    window = tuple(window_shape) if np.ndim(window_shape) else (window_shape,)
    axes = range(np.ndim(x)) if axis is None else axis if np.ndim(axis) else (axis,)
    return (x,), {"window": window, "axis": tuple(a % np.ndim(x) for a in axes)}


@op(
    wrt(
        "y",
        lambda g, out, y, *, shape, axis: sliding_window_view(g, y.shape[len(shape) :], axis),
    )
)
def add_sliding(y: Array, *, shape: Ints, axis: Ints) -> Array:
    """The adjoint of `sliding_window_view`: add every element up to where it was seen."""
    total = np.zeros_like(y, shape=shape)
    for place in product(*map(range, y.shape[len(shape) :])):
        start = [0] * len(shape)
        for a, i in zip(axis, place, strict=True):  # an axis may be named twice
            start[a] += i
        total[tuple(slice(i, i + n) for i, n in zip(start, y.shape, strict=False))] += y[
            (..., *place)
        ]
    return total


register(
    sliding_window_view,
    wrt("x", lambda g, out, x, *, window, axis: add_sliding(g, shape=x.shape, axis=axis)),
    bind=_bind_sliding,
    forward=lambda x, *, window, axis: sliding_window_view(x, window, axis),
)

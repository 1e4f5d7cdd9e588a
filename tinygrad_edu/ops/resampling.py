"""Resampling: images in another size.

Every way to change the size works axis by axis, with an op that takes elements by an index which
never decreases.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.index import index_update
from tinygrad_edu.ops.pooling import check_images
from tinygrad_edu.ops.windows import Sizes, as_array, check_fits, each_axis

# -- by a sorted index ----------------------------------------------------------------------------


@op(
    wrt(
        "x",
        lambda g, out, x, *, index, axis: add_sorted(g, size=x.shape[axis], index=index, axis=axis),
    )
)
def take_sorted(x: Array, *, index: Any, axis: int) -> Array:
    """`np.take` for an index that never decreases, whose gradient is the faster for it."""
    return np.take(x, index, axis=axis)


@op(wrt("y", lambda g, out, y, *, size, index, axis: take_sorted(g, index=index, axis=axis)))
def add_sorted(y: Array, *, size: int, index: Any, axis: int) -> Array:
    """The adjoint of `take_sorted`: sums over the runs of equal indices."""
    x = np.zeros_like(y, shape=(*y.shape[:axis], size, *y.shape[axis + 1 :]))
    if y.size:
        used, first = np.unique(index, return_index=True)
        before: tuple[Any, ...] = (slice(None),) * axis
        x[(*before, used)] = np.add.reduceat(y, first, axis=axis)
    return x


def _along(values: Any, x: Array, axis: int) -> Array:
    """Numbers along an axis of `x`, in its dtype, to multiply with."""
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    return np.asarray(values, dtype).reshape((-1, *(1,) * (x.ndim - 1 - axis)))


def _linear(x: Array, axis: int, size: int, scale: float, align_corners: bool) -> Array:
    """Between the two nearest elements along an axis, weighted by how near they are."""
    length = x.shape[axis]
    at = np.arange(size) * scale if align_corners else (np.arange(size) + 0.5) * scale - 0.5
    at = np.clip(at, 0, length - 1)
    low = at.astype(np.intp)
    part = _along(at - low, x, axis)
    high = np.minimum(low + 1, length - 1)
    return (1 - part) * take_sorted(x, index=low, axis=axis) + part * take_sorted(
        x, index=high, axis=axis
    )


def _means(x: Array, axis: int, size: int) -> Array:
    """The means of `size` windows of nearly equal length that cover an axis."""
    length = x.shape[axis]
    start = np.arange(size) * length // size
    end = -(-np.arange(1, size + 1) * length // size)
    total = 0.0
    for place in range((end - start).max(initial=0)):
        weight = (start + place < end) / (end - start)
        index = np.minimum(start + place, end - 1)
        total = total + _along(weight, x, axis) * take_sorted(x, index=index, axis=axis)
    return total


_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


@composite
def interpolate(
    x: Array,
    size: Sizes | None = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    """Images in another size: the nearest element, between the nearest ones, or means.

    Args:
        x: (N, C, L), (N, C, H, W) or (N, C, D, H, W), float.
        size: of the result, a number or one per axis.
        scale_factor: instead of `size`: how many times as large, a number or one per axis.
        mode: "nearest"; "linear", "bilinear" or "trilinear" for 1, 2 or 3 axes; "area" for the
            means of windows.
        align_corners: for the linear modes: the corner elements stay where they are, instead of
            the outer edges of the corner elements.

    Returns:
        (N, C, *size).

    Raises:
        InputError: if shapes or options do not fit.
    """
    x = as_array(x)
    axes = x.ndim - 2
    if axes not in _LINEAR or (size is None) == (scale_factor is None):
        raise InputError(
            "interpolate: expected x with 3 to 5 axes and one of size and scale_factor, got x "
            f"{x.shape}, size={size}, scale_factor={scale_factor}"
        )
    if mode not in ("nearest", "area", _LINEAR[axes]):
        raise InputError(
            f"interpolate: expected mode 'nearest', {_LINEAR[axes]!r} or 'area' for x {x.shape}, "
            f"got {mode!r}"
        )
    old = x.shape[2:]
    if size is None:
        factors = np.broadcast_to(np.asarray(scale_factor, float), (axes,)).tolist()
        size = [math.floor(n * factor) for n, factor in zip(old, factors, strict=True)]
        scales = [1 / factor if factor else math.inf for factor in factors]
    else:
        size = each_axis("interpolate", "size", size, axes)
        scales = [n / m for n, m in zip(old, size, strict=True)]
    if min(size) < 1 or min(old) < 1:
        raise InputError(f"interpolate: expected sizes of at least 1, got {old} to {tuple(size)}")
    for axis, (n, m, scale) in enumerate(zip(old, size, scales, strict=True), 2):
        if mode == "area":
            x = _means(x, axis, m)
        elif mode == "nearest":
            index = np.minimum((np.arange(m) * scale).astype(np.intp), n - 1)
            x = take_sorted(x, index=index, axis=axis)
        else:
            scale = (n - 1) / max(m - 1, 1) if align_corners else scale
            x = _linear(x, axis, m, scale, align_corners)
    return x


# -- pooling to a given size, and back ------------------------------------------------------------


def _adaptive(axes: int, x: Array, output_size: Any) -> Array:
    x = as_array(x)
    function = f"adaptive_avg_pool{axes}d"
    check_images(function, x, axes)
    asked = tuple(output_size) if np.ndim(output_size) else (output_size,) * axes
    size = [n if m is None else m for m, n in zip(asked, x.shape[-axes:], strict=False)]
    sizes = each_axis(function, "output_size", size if len(asked) == axes else asked, axes)
    check_fits(function, x.shape[-axes:], (1,) * axes, ((0, 0),) * axes, (1,) * axes)
    for axis, m in enumerate(sizes, x.ndim - axes):
        x = _means(x, axis, m)
    return x


@composite
def adaptive_avg_pool1d(x: Array, output_size: Any) -> Array:
    """Means of `output_size` windows that cover sequences, (N, C, L) or (C, L)."""
    return _adaptive(1, x, output_size)


@composite
def adaptive_avg_pool2d(x: Array, output_size: Any) -> Array:
    """Means of windows that cover images: whatever the size, the result has `output_size`.

    Args:
        x: (N, C, H, W) or (C, H, W), float.
        output_size: a number or (H', W'); None keeps the size of an axis.

    Returns:
        (N, C, H', W') or (C, H', W'). Window i goes from ⌊i H/H'⌋ to ⌈(i+1) H/H'⌉.

    Raises:
        InputError: if shapes do not fit.
    """
    return _adaptive(2, x, output_size)


@composite
def adaptive_avg_pool3d(x: Array, output_size: Any) -> Array:
    """Means of windows that cover volumes, (N, C, D, H, W) or (C, D, H, W)."""
    return _adaptive(3, x, output_size)


@composite
def max_unpool2d(
    x: Array,
    indices: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sizes | None = None,
) -> Array:
    """Put maxima back where `max_pool2d(..., return_indices=True)` found them, zeros elsewhere.

    Args:
        x: (N, C, H', W') or (C, H', W').
        indices: of the same shape, integers, no one twice in an image.
        kernel_size: as for `max_pool2d`, and stride and padding too.
        stride: by default the kernel's size.
        padding: cut off at both ends of an axis.
        output_size: (H, W) of the images; by default as small as the windows allow.

    Returns:
        (N, C, H, W) or (C, H, W).

    Raises:
        InputError: if shapes or indices do not fit.
    """
    x, indices = as_array(x), as_array(indices)
    check_images("max_unpool2d", x, 2)
    kernel = each_axis("max_unpool2d", "kernel_size", kernel_size, 2)
    strides = kernel if stride is None else each_axis("max_unpool2d", "stride", stride, 2)
    pads = each_axis("max_unpool2d", "padding", padding, 2, 0)
    size = tuple(
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(x.shape[-2:], strides, pads, kernel, strict=True)
    )
    if output_size is not None:
        size = each_axis("max_unpool2d", "output_size", output_size, 2)
    images, area = math.prod(x.shape[:-2]), math.prod(size)
    if indices.shape != x.shape or (x.size and not 0 <= indices.min() <= indices.max() < area):
        raise InputError(
            f"max_unpool2d: expected indices of shape {x.shape}, from 0 to {area - 1} for images "
            f"of {size}, got shape {indices.shape}"
        )
    where = np.reshape(indices, (images, -1)) + area * np.arange(images).reshape((-1, 1))
    flat = index_update(np.zeros_like(x, shape=(images * area,)), where, x.reshape(where.shape))
    return flat.reshape((*x.shape[:-2], *size))


# -- channels and pixels --------------------------------------------------------------------------


@composite
def pixel_shuffle(x: Array, upscale_factor: int) -> Array:
    """Channels to pixels (depth to space): (..., C r², H, W) to (..., C, H r, W r).

    Args:
        x: (..., C r², H, W); channel c r² + i r + j goes to row i and column j of each r × r block.
        upscale_factor: r.

    Raises:
        InputError: if the channels cannot be divided by r².
    """
    x = as_array(x)
    r = each_axis("pixel_shuffle", "upscale_factor", upscale_factor, 1)[0]
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise InputError(
            f"pixel_shuffle: expected x (..., C · {r * r}, H, W) for upscale_factor {r}, "
            f"got {x.shape}"
        )
    *batch, channels, height, width = x.shape
    blocks = x.reshape((-1, r, r, height, width))
    return np.transpose(blocks, (0, 3, 1, 4, 2)).reshape(
        (*batch, channels // (r * r), height * r, width * r)
    )


@composite
def pixel_unshuffle(x: Array, downscale_factor: int) -> Array:
    """Pixels to channels (space to depth): (..., C, H r, W r) to (..., C r², H, W).

    Args:
        x: (..., C, H r, W r).
        downscale_factor: r.

    Raises:
        InputError: if height or width cannot be divided by r.
    """
    x = as_array(x)
    r = each_axis("pixel_unshuffle", "downscale_factor", downscale_factor, 1)[0]
    if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
        raise InputError(
            f"pixel_unshuffle: expected x (..., C, H · {r}, W · {r}) for downscale_factor {r}, "
            f"got {x.shape}"
        )
    *batch, channels, height, width = x.shape
    blocks = x.reshape((-1, height // r, r, width // r, r))
    return np.transpose(blocks, (0, 2, 4, 1, 3)).reshape(
        (*batch, channels * r * r, height // r, width // r)
    )

"""Convolution: forwards and transposed, in any number of dimensions.

A convolution is linear in the image and in the kernel. With <·, ·> for the sum of products,

    <y, convolution(x, w)> = <x, convolution_x(y, w)> = <w, convolution_w(y, x)>

defines two more functions, and each of the three is the gradient rule of the other two: three ops
give derivatives of every order. (What is called convolution here, as in every neural-network
library, does not flip the kernel.)

All three unroll the image: each position of the kernel becomes a row of a matrix, so that one
matrix product does the sums. The batch axis comes last in it, which makes the runs of memory that
are copied long. Results stay so in memory: they are views with the axes in the usual order.
Elementwise functions and pooling keep the order in memory, so that nothing is moved before the next
convolution, nor on the way back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.windows import (
    Ints,
    Pads,
    Sizes,
    add_views,
    as_array,
    check_arrays,
    check_fits,
    each_axis,
    inside,
    padded,
    padded_size,
    positions,
    window_view,
)

How = tuple[Ints, Pads, Ints, int]  # stride, padding, dilation, groups


# -- the three ops -----------------------------------------------------------------------------
# `how` is (stride, padding, dilation, groups), the first three with a part per spatial axis.


def _batch_last(x: Array) -> Array:
    return x.transpose((*range(1, x.ndim), 0))


def _batch_first(x: Array) -> Array:
    return x.transpose((x.ndim - 1, *range(x.ndim - 1)))


def _grouped(x: Array, groups: int) -> Array:
    """(channels, ...) as a matrix per group, (groups, channels/groups, ...)."""
    return x.reshape((groups, x.shape[0] // groups, math.prod(x.shape[1:])))


def _columns(x: Array, kernel: Ints, how: How) -> tuple[Array, Ints]:
    """A matrix per group, with a column per window and a row per channel and kernel position.

    Returns:
        (groups, C/groups · kernel, count · N), and `count`, the number of windows per axis.
    """
    stride, padding, dilation, groups = how
    count = tuple(map(positions, x.shape[2:], kernel, stride, padding, dilation))
    windows = window_view(padded(_batch_last(x), 1, padding), 1, kernel, count, stride, dilation)
    rows = x.shape[1] // groups * math.prod(kernel)
    return windows.reshape((groups, rows, math.prod(count) * x.shape[0])), count


@op(
    wrt("x", lambda g, out, x, w, b, *, how: convolution_x(g, w, size=x.shape[2:], how=how)),
    wrt("w", lambda g, out, x, w, b, *, how: convolution_w(g, x, size=w.shape[2:], how=how)),
    wrt("b", lambda g, out, x, w, b, *, how: g.sum(axis=(0, *range(2, g.ndim)))),
)
def convolution(x: Array, w: Array, b: Array, *, how: How) -> Array:
    """y[n, o, p] = b[o] + Σ_{c, k} w[o, c, k] x[n, c, stride · p + dilation · k - padding].

    Args:
        x: (N, C, *size), float.
        w: (O, C/groups, *kernel).
        b: (O,), or None.
        how: (stride, padding, dilation, groups).

    Returns:
        (N, O, *count).
    """
    check_arrays("convolution", x, w)
    groups = how[-1]
    columns, count = _columns(x, w.shape[2:], how)
    y = np.matmul(_grouped(w, groups), columns).reshape((w.shape[0], columns.shape[-1]))
    if b is not None:
        y = np.add(y, b[:, None], out=y if b.dtype is y.dtype else None)
    return _batch_first(y.reshape((w.shape[0], *count, x.shape[0])))


@op(
    wrt("y", lambda g, out, y, w, *, size, how: convolution(g, w, None, how=how)),
    wrt("w", lambda g, out, y, w, *, size, how: convolution_w(y, g, size=w.shape[2:], how=how)),
)
def convolution_x(y: Array, w: Array, *, size: Ints, how: How) -> Array:
    """The gradient of `convolution` by x, also called transposed convolution.

    Args:
        y: (N, O, *count), float.
        w: (O, C/groups, *kernel).
        size: of the image that is returned, which `count` does not determine where stride > 1.
        how: (stride, padding, dilation, groups) of the convolution.

    Returns:
        (N, C, *size).

    Source: <convolution_x(y, w), x> = <y, convolution(x, w)> for all x, y, w.
    """
    check_arrays("convolution", y, w)
    stride, padding, dilation, groups = how
    kernel, channels = w.shape[2:], w.shape[1] * groups
    y_last = _batch_last(y)
    windows = np.matmul(_grouped(w, groups).swapaxes(1, 2), _grouped(y_last, groups))
    windows = windows.reshape((channels, *kernel, *y_last.shape[1:]))
    x = add_views(windows, 1, padded_size(padding, size), stride, dilation)
    return _batch_first(x[(slice(None), *inside(padding, size))])


@op(
    wrt("y", lambda g, out, y, x, *, size, how: convolution(x, g, None, how=how)),
    wrt("x", lambda g, out, y, x, *, size, how: convolution_x(y, g, size=x.shape[2:], how=how)),
)
def convolution_w(y: Array, x: Array, *, size: Ints, how: How) -> Array:
    """The gradient of `convolution` by the kernel.

    Args:
        y: (N, O, *count), float.
        x: (N, C, *image).
        size: of the kernel.
        how: (stride, padding, dilation, groups) of the convolution.

    Returns:
        (O, C/groups, *size).

    Source: <convolution_w(y, x), w> = <y, convolution(x, w)> for all x, y, w.
    """
    check_arrays("convolution", y, x)
    groups = how[-1]
    columns, _ = _columns(x, size, how)
    w = np.matmul(_grouped(_batch_last(y), groups), columns.swapaxes(1, 2))
    return w.reshape((y.shape[1], x.shape[1] // groups, *size))


# -- convolution as people call it ---------------------------------------------------------------


def _pads(function: str, padding: Any, kernel: Ints, stride: Ints, dilation: Ints) -> Pads:
    if padding == "same" and any(n != 1 for n in stride):
        raise InputError(f"{function}: padding 'same' needs stride 1, got stride {stride}")
    if padding == "same":  # of an odd number of zeros the last is at the end
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str) and padding != "valid":
        raise InputError(
            f"{function}: expected padding to be 'same', 'valid' or numbers, got {padding!r}"
        )
    padding = 0 if padding == "valid" else padding
    return tuple((n, n) for n in each_axis(function, "padding", padding, len(kernel), 0))


def _check_layout(function: str, x: Array, weight: Array, axes: int, groups: int) -> None:
    if x.ndim not in (axes + 1, axes + 2) or weight.ndim != axes + 2:
        letters = ", ".join("DHW"[-axes:])
        raise InputError(
            f"{function}: expected x (N, C, {letters}) or (C, {letters}), and weight with "
            f"{axes + 2} axes, got x {x.shape} and weight {weight.shape}"
        )
    channels = x.shape[-axes - 1]
    if groups < 1 or channels % groups or weight.shape[0] % groups:
        raise InputError(
            f"{function}: groups must divide the channels of x and the first axis of weight, got "
            f"groups={groups}, x {x.shape}, weight {weight.shape}"
        )


def _check_bias(function: str, bias: Array, channels: int) -> None:
    if bias is not None and as_array(bias).shape != (channels,):
        raise InputError(
            f"{function}: expected bias ({channels},), one number per output channel, got "
            f"{as_array(bias).shape}"
        )


def _convolve(
    axes: int,
    x: Array,
    weight: Array,
    bias: Array,
    stride: Sizes,
    padding: Any,
    dilation: Sizes,
    groups: int,
) -> Array:
    function = f"conv{axes}d"
    x, weight = as_array(x), as_array(weight)
    _check_layout(function, x, weight, axes, groups)
    _check_bias(function, bias, weight.shape[0])
    channels, kernel = x.shape[-axes - 1], weight.shape[2:]
    if weight.shape[1] * groups != channels:
        raise InputError(
            f"{function}: expected weight (O, C/groups, ...) with C/groups = {channels // groups} "
            f"(x {x.shape}, groups={groups}), got weight {weight.shape}"
        )
    stride = each_axis(function, "stride", stride, axes)
    dilation = each_axis(function, "dilation", dilation, axes)
    pads = _pads(function, padding, kernel, stride, dilation)
    check_fits(function, x.shape[-axes:], kernel, pads, dilation)
    how = (stride, pads, dilation, int(groups))
    if x.ndim == axes + 2:
        return convolution(x, weight, bias, how=how)
    return convolution(np.expand_dims(x, 0), weight, bias, how=how)[0]


@composite
def conv1d(
    x: Array,
    weight: Array,
    bias: Array = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """Convolution of sequences, (N, C, L) with weight (O, C/groups, k); see `conv2d`."""
    return _convolve(1, x, weight, bias, stride, padding, dilation, groups)


@composite
def conv2d(
    x: Array,
    weight: Array,
    bias: Array = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """Convolution of images: each output is the sum of a window, weighted by the kernel.

    As in every neural-network library the kernel is not flipped: mathematics calls it correlation.

    Args:
        x: (N, C, H, W) or (C, H, W), float.
        weight: (O, C/groups, kh, kw).
        bias: (O,), or None.
        stride: from one window to the next.
        padding: zeros at both ends of an axis; "valid" is 0, "same" keeps the size for stride 1.
        dilation: from one element of a window to the next.
        groups: C and O are split into so many groups, each convolved by itself; C groups make a
            depthwise convolution.
            Options are numbers, or pairs for (height, width).

    Returns:
        (N, O, H', W') or (O, H', W'); H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1.

    Raises:
        InputError: if shapes or options do not fit.
    """
    return _convolve(2, x, weight, bias, stride, padding, dilation, groups)


@composite
def conv3d(
    x: Array,
    weight: Array,
    bias: Array = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """Convolution of volumes, (N, C, D, H, W) with weight (O, C/groups, kd, kh, kw).

    See `conv2d`.
    """
    return _convolve(3, x, weight, bias, stride, padding, dilation, groups)


def _transposed(
    axes: int,
    x: Array,
    weight: Array,
    bias: Array,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Array:
    function = f"conv_transpose{axes}d"
    x, weight = as_array(x), as_array(weight)
    _check_layout(function, x, weight, axes, groups)
    channels, kernel = x.shape[-axes - 1], weight.shape[2:]
    if weight.shape[0] != channels:
        raise InputError(
            f"{function}: expected weight (C, O/groups, ...) with C = {channels}, as x {x.shape} "
            f"has, got weight {weight.shape}"
        )
    _check_bias(function, bias, weight.shape[1] * groups)
    stride = each_axis(function, "stride", stride, axes)
    dilation = each_axis(function, "dilation", dilation, axes)
    padding = each_axis(function, "padding", padding, axes, 0)
    more = each_axis(function, "output_padding", output_padding, axes, 0)
    if any(m >= s for m, s in zip(more, stride, strict=True)):
        raise InputError(
            f"{function}: expected output_padding less than stride, got {more} for stride {stride}"
        )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + m
        for n, s, p, d, k, m in zip(
            x.shape[-axes:], stride, padding, dilation, kernel, more, strict=True
        )
    )
    if min(size) < 1:
        raise InputError(f"{function}: padding {padding} leaves nothing, a size of {size}")
    how = (stride, tuple((n, n) for n in padding), dilation, int(groups))
    batch = x if x.ndim == axes + 2 else np.expand_dims(x, 0)
    y = convolution_x(batch, weight, size=size, how=how)
    if bias is not None:
        y = y + np.reshape(bias, (-1, *(1,) * axes))
    return y if x.ndim == axes + 2 else y[0]


@composite
def conv_transpose1d(
    x: Array,
    weight: Array,
    bias: Array = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Array:
    """Transposed convolution of sequences, (N, C, L) with weight (C, O/groups, k).

    See `conv_transpose2d`.
    """
    return _transposed(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


@composite
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Array:
    """Transposed convolution of images: each input adds the kernel, weighted, to a window.

    It is the gradient of `conv2d` by its image, so it goes back to the image's size.

    Args:
        x: (N, C, H, W) or (C, H, W), float.
        weight: (C, O/groups, kh, kw): what `conv2d` with O input channels would take.
        bias: (O,), or None.
        stride: from one window to the next.
        padding: cut off at both ends of an axis.
        output_padding: added to the size at the end: a `conv2d` with stride maps several sizes to
            one, and this chooses among them.
        groups: C and O are split into so many groups.
        dilation: from one element of a window to the next.

    Returns:
        (N, O, H', W') or (O, H', W');
        H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.

    Raises:
        InputError: if shapes or options do not fit.
    """
    return _transposed(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


@composite
def conv_transpose3d(
    x: Array,
    weight: Array,
    bias: Array = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Array:
    """Transposed convolution of volumes, (N, C, D, H, W) with weight (C, O/groups, kd, kh, kw).

    See `conv_transpose2d`.
    """
    return _transposed(3, x, weight, bias, stride, padding, output_padding, groups, dilation)

"""`np.pad`: an array with a border around it, made from its own elements or from numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, InputError, UnsupportedError
from tinygrad_edu.op import Array, op, register, wrt
from tinygrad_edu.ops.shape import astype

_STATISTICS: dict[str, Callable[..., Array]] = {
    "maximum": np.max,
    "minimum": np.min,
    "mean": np.mean,
    "median": np.median,
}
_OPTIONS = {
    "constant": ("constant_values",),
    "edge": (),
    "linear_ramp": ("end_values",),
    "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
    "wrap": (),
    **dict.fromkeys(_STATISTICS, ("stat_length",)),
}


def _inner(g: Array, out: Array, x: Array, *, widths: Any, values: Any) -> Array:
    return g[tuple(slice(width[0], width[0] + n) for width, n in zip(widths, x.shape, strict=True))]


@op(wrt("x", _inner), name="pad")
def pad_with_numbers(x: Array, *, widths: Any, values: Any) -> Array:
    """The frequent case at once: a border of plain numbers."""
    return np.pad(x, widths, constant_values=values)


def _pad(array: Array, pad_width: Any, mode: Any = "constant", **options: Any) -> Array:
    """Axis by axis as NumPy does it, so that what is padded first is padded again."""
    if mode not in _OPTIONS:
        why = {"empty": "; its numbers are not defined"}.get(str(mode), "")
        raise UnsupportedError(
            f"pad: mode {mode!r} has no gradient rule{why}; modes: {[*_OPTIONS]}"
        )
    for option in options:
        if option not in _OPTIONS[mode]:
            raise UnsupportedError(f"pad: mode {mode!r} has no option {option!r}")
    widths = _widths(pad_width, array.ndim)
    if not any(any(width) for width in widths):
        return array
    values = options.get("constant_values", 0)
    if mode == "constant" and not hasattr(type(values), "__op__"):
        return pad_with_numbers(array, widths=widths, values=values)
    for axis, width in enumerate(widths):
        if any(width):
            before, after = _border(array, axis, width, mode, **options)
            array = np.concatenate(
                [_like(part, array) for part in (before, array, after)], axis=axis
            )
    return array


def _widths(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    """NumPy's ways to say it: for all axes, a pair for all, a pair per axis, {axis: pair}."""
    if isinstance(pad_width, dict):
        pairs = np.zeros((ndim, 2), int)
        for axis, width in pad_width.items():
            pairs[axis] = width
        pad_width = pairs
    if np.asarray(pad_width).dtype.kind not in "iu":
        raise DtypeError(f"pad: expected integers for pad_width, got {pad_width!r}")
    if np.any(np.asarray(pad_width) < 0):
        raise InputError(f"pad: expected no negative pad_width, got {pad_width!r}")
    return tuple((int(b), int(a)) for b, a in np.broadcast_to(pad_width, (ndim, 2)))


def _like(part: Array, array: Array) -> Array:
    """In the dtype of what is padded; means of integers are rounded."""
    if part.dtype == array.dtype:
        return part
    return astype(np.round(part) if array.dtype.kind in "iu" else part, dtype=array.dtype)


def _border(
    x: Array,
    axis: int,
    width: tuple[int, int],
    mode: str,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
    reflect_type: str = "even",
) -> tuple[Array, Array]:
    """What goes before `x` and after it, along one axis."""
    if mode in _STATISTICS:
        return _statistics(x, axis, width, _STATISTICS[mode], stat_length)
    if mode == "constant":
        ends = np.broadcast_to(constant_values, (x.ndim, 2))[axis]
        shapes = [(*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in width]
        return np.broadcast_to(ends[0], shapes[0]), np.broadcast_to(ends[1], shapes[1])
    if mode == "linear_ramp":
        ends = np.broadcast_to(end_values, (x.ndim, 2))[axis]
        before, after = (
            np.linspace(ends[i], np.take(x, -i, axis), width[i], False, dtype=x.dtype, axis=axis)
            for i in (0, 1)
        )
        return before, np.flip(after, axis)
    n = x.shape[axis]
    odd = reflect_type == "odd"
    if reflect_type not in ("even", "odd"):
        raise InputError(f"pad: expected reflect_type 'even' or 'odd', got {reflect_type!r}")
    if odd and max(width) > n - (mode == "reflect"):
        raise UnsupportedError(
            f"pad: reflect_type 'odd' goes once around the array at most, got pad_width {width} "
            f"for axis {axis} of shape {x.shape}; pad twice"
        )
    index = np.pad(np.arange(n), width, mode)  # type: ignore[call-overload]  # a mode by name
    before, after = np.take(x, index[: width[0]], axis), np.take(x, index[n + width[0] :], axis)
    if odd:
        before = 2 * np.take(x, [0], axis) - before
        after = 2 * np.take(x, [-1], axis) - after
    return before, after


def _statistics(
    x: Array,
    axis: int,
    width: tuple[int, int],
    statistic: Callable[..., Array],
    stat_length: Any,
) -> tuple[Array, Array]:
    n = x.shape[axis]
    lengths = [n, n] if stat_length is None else np.broadcast_to(stat_length, (x.ndim, 2))[axis]
    if min(lengths) < 1:
        raise InputError(f"pad: expected a stat_length of 1 or more, got {stat_length!r}")
    everywhere = (slice(None),) * axis
    ends = (
        statistic(x[(*everywhere, slice(None, int(lengths[0])))], axis=axis, keepdims=True),
        statistic(x[(*everywhere, slice(max(n - int(lengths[1]), 0), None))], axis, keepdims=True),
    )
    return np.repeat(ends[0], width[0], axis), np.repeat(ends[1], width[1], axis)


register(np.pad, composed=_pad)

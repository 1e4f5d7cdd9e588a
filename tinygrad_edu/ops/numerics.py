"""Differences, sums of products along a line, interpolation, ranges: numerical methods.

What is written with other ops needs no rule.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import InputError, UnsupportedError
from tinygrad_edu.op import Array, op, register, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.index import untracked
from tinygrad_edu.ops.shape import astype


def _array(x: Any) -> Array:
    """A list or a number as an array; what is one already as it is."""
    return x if hasattr(x, "shape") else np.asarray(x)


def _column(x: Array, axis: int, ndim: int) -> Array:
    """Numbers for the places along one axis, shaped to broadcast with an array of `ndim` axes."""
    axis = normalize_axis_index(axis, ndim)
    return np.reshape(x, [-1 if i == axis else 1 for i in range(ndim)])


def _along(axis: int, ndim: int, *part: Any) -> tuple[Any, ...]:
    """The index that takes `part` of one axis and all of the axes before it."""
    return (slice(None),) * normalize_axis_index(axis, ndim) + part


# -- differences -------------------------------------------------------------------------------


def _diff(a: Array, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    if n < 0:
        raise InputError(f"diff: expected no negative n, got {n}")
    if n == 0:
        return a
    a = _array(a)
    parts = [a]
    for place, end in ((0, prepend), (-1, append)):
        if end is not None and end is not np._NoValue:
            end = _array(end)
            if not end.shape:
                end = np.broadcast_to(
                    end, [1 if i == axis % a.ndim else m for i, m in enumerate(a.shape)]
                )
            parts.insert(len(parts) if place else 0, end)
    a = np.concatenate(parts, axis) if len(parts) > 1 else a
    difference = np.not_equal if a.dtype == bool else np.subtract
    later, earlier = (_along(axis, a.ndim, s) for s in (slice(1, None), slice(None, -1)))
    for _ in range(n):
        a = difference(a[later], a[earlier])
    return a


def _ediff1d(ary: Array, to_end: Any = None, to_begin: Any = None) -> Array:
    flat = np.ravel(ary)
    parts = [to_begin, flat[1:] - flat[:-1], to_end]
    given = [np.ravel(part) for part in parts if part is not None]
    return np.concatenate(given, dtype=flat.dtype) if len(given) > 1 else given[0]


def _gradient(f: Array, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Differences of second order inside, of order `edge_order` at the ends, per axis."""
    f = _array(f)
    axes = range(f.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if edge_order not in (1, 2):
        raise InputError(f"gradient: expected edge_order 1 or 2, got {edge_order}")
    if len(varargs) == 1 and not np.ndim(varargs[0]):
        varargs *= len(axes)
    if len(varargs) not in (0, len(axes)):
        raise InputError(
            f"gradient: expected one number for all axes, or a spacing for each of {len(axes)}, "
            f"got {len(varargs)} spacings"
        )
    spacings = varargs or (1.0,) * len(axes)
    if f.dtype.kind != "f":
        f = astype(f, dtype=float)
    slopes = tuple(_slope(f, h, i, edge_order) for i, h in zip(axes, spacings, strict=True))
    return slopes if len(slopes) != 1 else slopes[0]


def _slope(f: Array, spacing: Any, axis: int, edge_order: int) -> Array:
    """The derivative along one axis; `spacing` is a number, or where the samples lie.

    Inside, it is the mean of the slopes to the left and to the right, in which the nearer neighbour
    counts more: exact for parabolas. At an end it is the slope to the neighbour, for edge_order 2
    that of the parabola through three points, which changes as much beyond the neighbour's middle.

    Source: B. Fornberg, "Generation of Finite Difference Formulas on Arbitrarily Spaced Grids",
    Mathematics of Computation 51 (1988).
    """
    n = f.shape[axis]
    if n <= edge_order:
        raise InputError(
            f"gradient: edge_order {edge_order} needs {edge_order + 1} samples or more along axis "
            f"{axis}, got shape {f.shape}"
        )
    if np.ndim(spacing) and np.shape(spacing) != (n,):
        raise InputError(
            f"gradient: expected a number or {n} places for axis {axis}, got shape "
            f"{np.shape(spacing)}"
        )

    def part(x: Array, start: int | None, stop: int | None) -> Array:
        return x[_along(axis, f.ndim, slice(start, stop))]

    steps = spacing
    if np.ndim(spacing):
        steps = np.reshape(
            np.diff(spacing), [-1 if i == axis % f.ndim else 1 for i in range(f.ndim)]
        )
    slopes = (part(f, 1, None) - part(f, None, -1)) / steps
    left, right = part(slopes, None, -1), part(slopes, 1, None)
    if np.ndim(spacing):
        before, after = part(steps, None, -1), part(steps, 1, None)
        inside = (left * after + right * before) / (before + after)
    else:
        inside = (left + right) / 2
    first, last = part(slopes, None, 1), part(slopes, -1, None)
    if edge_order == 2:
        first = 2 * first - part(inside, None, 1)
        last = 2 * last - part(inside, -1, None)
    slope = np.concatenate([first, inside, last], axis)
    return slope if slope.dtype == f.dtype else astype(slope, dtype=f.dtype)


def _trapezoid(y: Array, x: Array | None = None, dx: Array = 1.0, axis: int = -1) -> Array:
    y = _array(y)
    left, right = (_along(axis, y.ndim, s) for s in (slice(None, -1), slice(1, None)))
    if x is not None:
        x = _array(x)
        dx = np.diff(_column(x, axis, y.ndim) if x.ndim == 1 else x, axis=axis)
    return np.sum(dx * (y[left] + y[right]) / 2.0, axis=axis)


register(np.diff, composed=_diff)
register(np.ediff1d, composed=_ediff1d)
register(np.gradient, composed=_gradient)
register(np.trapezoid, composed=_trapezoid)

# -- products ----------------------------------------------------------------------------------


def _cross(
    a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _array(a), _array(b)
    if a.shape[axisa] != 3 or b.shape[axisb] != 3:
        raise UnsupportedError(
            f"cross: expected vectors of three, got {a.shape[axisa]} and {b.shape[axisb]}; of two, "
            "the product is the number a[0] * b[1] - a[1] * b[0]"
        )
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    a1, a2, b1, b2 = (np.roll(x, -i, axis=-1) for x in (a, b) for i in (1, 2))
    return np.moveaxis(a1 * b2 - a2 * b1, -1, axisc)


register(np.cross, composed=_cross)
register(np.linalg.cross, composed=lambda x1, x2, /, *, axis=-1: _cross(x1, x2, axis=axis))


@op(
    wrt("a", lambda g, out, a, v: correlate_valid(g, v)),
    wrt("v", lambda g, out, a, v: correlate_valid(g, a)),
    name="convolve",
)
def convolve_full(a: Array, v: Array) -> Array:
    """`out[k] = Σ_j a[k - j] v[j]`, from the first product to the last one: n + m - 1 sums."""
    return np.convolve(a, v)


@op(
    wrt("a", lambda g, out, a, v: convolve_full(g, v)),
    wrt("v", lambda g, out, a, v: correlate_valid(a, g)),
    name="correlate",
)
def correlate_valid(a: Array, v: Array) -> Array:
    """`out[k] = Σ_j a[k + j] v[j]` where all of `v` lies on `a`: n - m + 1 sums, with n >= m."""
    return np.correlate(a, v)


def _convolve(a: Array, v: Array, mode: str = "full") -> Array:
    a, v = np.atleast_1d(a), np.atleast_1d(v)
    if v.size > a.size:
        a, v = v, a
    _check_line("convolve", a, v, mode)
    if mode == "valid":
        return correlate_valid(a, np.flip(v))
    full = convolve_full(a, v)
    start = (v.size - 1) // 2
    return full if mode == "full" else full[start : start + a.size]


def _correlate(a: Array, v: Array, mode: str = "valid") -> Array:
    a, v = _array(a), _array(v)
    _check_line("correlate", a, v, mode)
    n, m = a.size, v.size
    if mode == "valid":
        return correlate_valid(a, v) if n >= m else np.flip(correlate_valid(v, a))
    full = convolve_full(a, np.flip(v))
    start = (m - 1) // 2 if n >= m else n // 2
    return full if mode == "full" else full[start : start + max(n, m)]


def _check_line(function: str, a: Array, v: Array, mode: str) -> None:
    if mode not in ("full", "same", "valid"):
        raise InputError(f"{function}: expected mode 'full', 'same' or 'valid', got {mode!r}")
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise InputError(
            f"{function}: expected two arrays of one axis that are not empty, got shapes {a.shape} "
            f"and {v.shape}"
        )


register(np.convolve, composed=_convolve)
register(np.correlate, composed=_correlate)


def _polyval_p(g: Array, out: Array, p: Array, x: Array) -> Array:
    sums = [np.sum(g)]
    for _ in range(len(p) - 1):
        g = safe_multiply(g, x)
        sums.insert(0, np.sum(g))
    return np.stack(sums)


def _polyval_x(g: Array, out: Array, p: Array, x: Array) -> Array:
    if len(p) == 1:
        return np.zeros_like(g)
    powers = np.arange(len(p) - 1, 0, -1, dtype=p.dtype)
    return safe_multiply(g, np.polyval(p[:-1] * powers, x))


def _polyval(p: Array, x: Array) -> Array:
    if p.ndim != 1 or not p.size:
        raise InputError(f"polyval: expected one axis of coefficients or more, got shape {p.shape}")
    return np.polyval(p, x)


def _vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    x = _array(x)
    if x.ndim != 1:
        raise InputError(f"vander: expected one axis, got shape {x.shape}")
    exponents = np.arange(x.size if N is None else N)
    return x[:, None] ** (exponents if increasing else exponents[::-1])


register(
    np.polyval,
    wrt("p", _polyval_p),
    wrt("x", _polyval_x),
    forward=_polyval,
    public=np.polyval,
)
register(np.vander, composed=_vander)

# -- interpolation -----------------------------------------------------------------------------


@op(name="searchsorted")
def interval(x: Array, xp: Array) -> Array:
    """The number of the interval [xp[i], xp[i + 1]) that each `x` lies in, the nearest if none."""
    return np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(len(xp) - 2, 0))


@np.errstate(invalid="ignore", over="ignore")  # far away, where the line is not taken
def _interp(
    x: Array, xp: Array, fp: Array, left: Any = None, right: Any = None, period: Any = None
) -> Array:
    """Straight lines from point to point; at a point the slope is that of the line to its right."""
    x, xp, fp = (astype(_array(values), dtype=np.float64) for values in (x, xp, fp))
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise InputError(
            "interp: expected xp and fp of one axis, the same length and not empty, got shapes "
            f"{xp.shape} and {fp.shape}"
        )
    if period is not None:
        period = abs(untracked("interp", "period", period))
        if period == 0:
            raise InputError("interp: expected a period other than 0")
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    i = interval(x, xp)
    j = np.minimum(i + 1, xp.size - 1)
    start, low = xp[i], fp[i]
    width = xp[j] - start
    share = (x - start) / np.where(width == 0, 1, width)
    inside = low + share * (fp[j] - low)
    below = np.where(x < xp[0], fp[0] if left is None else left, inside)
    return np.where(x > xp[-1], fp[-1] if right is None else right, below)


register(np.interp, composed=_interp)

# -- ranges ------------------------------------------------------------------------------------


def _linspace(
    start: Array,
    stop: Array,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Both ends exactly: the share of one is 1 where that of the other is 0."""
    num = operator.index(num)
    if num < 0:
        raise InputError(f"linspace: expected no negative num, got {num}")
    start, stop = (x if type(x) in (int, float) else _array(x) for x in (start, stop))
    ndim = max(np.ndim(start), np.ndim(stop))
    parts = num - 1 if endpoint else num
    number = np.result_type(start, stop, 1.0)
    share = np.reshape(np.arange(num, dtype=number) / max(parts, 1), (-1,) + (1,) * ndim)
    y = start * (1 - share) + stop * share
    if dtype is not None:
        whole = np.dtype(dtype).kind in "iu"
        y = astype(np.floor(y) if whole else y, dtype=dtype)
    y = np.moveaxis(y, 0, axis) if axis else y
    return (y, (stop - start) / parts if parts > 0 else np.nan) if retstep else y


def _logspace(
    start: Array,
    stop: Array,
    num: Any = 50,
    endpoint: bool = True,
    base: Array = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    if np.ndim(base):
        ndim = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = (
            np.reshape(x, (1,) * (ndim - np.ndim(x)) + np.shape(x)) for x in (start, stop, base)
        )
        base = np.expand_dims(base, axis)
    y = np.power(base, np.linspace(start, stop, num, endpoint, axis=axis))
    return y if dtype is None else astype(y, dtype=dtype)


@np.errstate(divide="ignore", invalid="ignore")  # an end at 0 is refused below
def _geomspace(
    start: Array,
    stop: Array,
    num: Any = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """A power of the ratio times the start: with a negative ratio it would be complex."""
    start, stop = (astype(_array(x), dtype=np.float64) for x in (start, stop))
    ratio = stop / start
    known = plain(ratio)
    if isinstance(known, (np.ndarray, np.generic)) and not np.all(np.greater(known, 0)):
        raise InputError("geomspace: expected ends that have one sign and are not zero")
    share = np.linspace(np.zeros_like(ratio), 1, num, endpoint, axis=axis)
    start = np.broadcast_to(start, np.shape(ratio))
    y = np.expand_dims(start, axis) * np.expand_dims(ratio, axis) ** share
    return y if dtype is None else astype(y, dtype=dtype)


register(np.linspace, composed=_linspace)
register(np.logspace, composed=_logspace)
register(np.geomspace, composed=_geomspace)

# -- spectra -----------------------------------------------------------------------------------


def _shifted(x: Array, axes: Any, sign: int) -> Array:
    """Roll each axis by half its length."""
    x = _array(x)
    axes = range(x.ndim) if axes is None else axes if np.ndim(axes) else (axes,)
    return np.roll(x, tuple(sign * (x.shape[axis] // 2) for axis in axes), tuple(axes))


register(np.fft.fftshift, composed=lambda x, axes=None: _shifted(x, axes, 1))
register(np.fft.ifftshift, composed=lambda x, axes=None: _shifted(x, axes, -1))

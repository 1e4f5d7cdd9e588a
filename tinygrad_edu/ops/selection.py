"""Elementwise ops that take one of several numbers: extrema, `where`, `clip`, `select`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.errors import DtypeError, InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, composite, register, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.index import getitem, index_update


def _share(g: Array, wins: Array, ties: Array) -> Array:
    return safe_multiply(g, wins) + 0.5 * safe_multiply(g, ties)


register(
    np.maximum,
    wrt("x", lambda g, out, x, y: _share(g, x > y, x == y), DISTINCT),
    wrt("y", lambda g, out, x, y: _share(g, y > x, x == y), DISTINCT),
)
register(
    np.minimum,
    wrt("x", lambda g, out, x, y: _share(g, x < y, x == y), DISTINCT),
    wrt("y", lambda g, out, x, y: _share(g, y < x, x == y), DISTINCT),
)
register(  # what is compared with NaN wins
    np.fmax,
    wrt("x", lambda g, out, x, y: _share(g, (x > y) | (y != y), x == y), DISTINCT),
    wrt("y", lambda g, out, x, y: _share(g, (y > x) | (x != x), x == y), DISTINCT),
)
register(
    np.fmin,
    wrt("x", lambda g, out, x, y: _share(g, (x < y) | (y != y), x == y), DISTINCT),
    wrt("y", lambda g, out, x, y: _share(g, (y < x) | (x != x), x == y), DISTINCT),
)


def _bind_where(condition: Array, *branches: Array) -> Bound:
    if len(branches) != 2:
        raise UnsupportedError(
            f"where: expected where(condition, x, y), got {1 + len(branches)} argument"
            f"{'s' if branches else ''}; for the indices of what is not zero use "
            "np.nonzero(t.data)"
        )
    return (condition, *branches), {}


register(
    np.where,
    wrt("x", lambda g, out, condition, x, y: np.where(condition, g, 0.0)),
    wrt("y", lambda g, out, condition, x, y: np.where(condition, 0.0, g)),
    bind=_bind_where,
    broadcasts=True,
)


def _bind_clip(
    a: Array,
    a_min: Array = None,
    a_max: Array = None,
    out: Any = None,
    *,
    min: Array = None,
    max: Array = None,
    **options: Any,
) -> Bound:
    for name, value in ({"out": out} | options).items():
        if value is not None:
            raise UnsupportedError(f"clip: option {name!r} has no gradient rule")
    low = _either("min", a_min, min)
    high = _either("max", a_max, max)
    return (a, low, high), {}


def _either(name: str, first: Array, second: Array) -> Array:
    """One bound, under its old name or its new one."""
    first, second = (None if bound is np._NoValue else bound for bound in (first, second))
    if first is not None and second is not None:
        raise UnsupportedError(f"clip: expected one of 'a_{name}' and {name!r}, got both")
    return second if first is None else first


def _clip(x: Array, low: Array, high: Array) -> Array:
    return +x if low is None and high is None else np.clip(x, low, high)


def _clip_x(g: Array, out: Array, x: Array, low: Array, high: Array) -> Array:
    """At a bound the gradient is that of `x`, as in PyTorch."""
    if low is None and high is None:
        return g
    if low is None:
        return safe_multiply(g, x <= high)
    return safe_multiply(g, x >= low if high is None else (x >= low) & (x <= high))


def _clip_low(g: Array, out: Array, x: Array, low: Array, high: Array) -> Array:
    return safe_multiply(g, x < low if high is None else (x < low) & (low <= high))


def _clip_high(g: Array, out: Array, x: Array, low: Array, high: Array) -> Array:
    """Of two bounds in the wrong order NumPy takes the upper one."""
    return safe_multiply(g, x > high if low is None else (x > high) | (low > high))


register(
    np.clip,
    wrt("x", _clip_x, DISTINCT),
    wrt("low", _clip_low, DISTINCT),
    wrt("high", _clip_high, DISTINCT),
    forward=_clip,
    bind=_bind_clip,
    broadcasts=True,
)


def _nan_to_num(
    g: Array, out: Array, x: Array, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Array:
    return safe_multiply(g, np.isfinite(x))


register(np.nan_to_num, wrt("x", _nan_to_num))


# --- one of many ------------------------------------------------------------------------------


def _select(condlist: Sequence[Array], choicelist: Sequence[Array], default: Array = 0) -> Array:
    """The first choice whose condition is true: `where` in `where` in `where`."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise InputError(
            f"select: expected as many conditions as choices, one at least, got {len(condlist)} "
            f"conditions and {len(choicelist)} choices"
        )
    choicelist = [np.asarray(x) if isinstance(x, list) else x for x in choicelist]
    conditions = [_boolean(f"select: condlist[{i}]", mask) for i, mask in enumerate(condlist)]
    # A number written in the program must not widen another choice, whichever comes first.
    result = _in_common_dtype(default, choicelist)
    for condition, choice in zip(reversed(conditions), reversed(choicelist), strict=True):
        result = np.where(condition, choice, result)
    return result


def _boolean(what: str, mask: Any) -> Array:
    """A mask, from a list too.

    Raises:
        DtypeError: if it is not boolean.
    """
    mask = np.asarray(mask) if isinstance(mask, (bool, list)) else mask
    if mask.dtype.kind != "b":
        raise DtypeError(f"{what}: expected booleans, got {mask.dtype}; write mask != 0, or x < 1")
    return mask


def _in_common_dtype(default: Array, others: Sequence[Array]) -> Array:
    if type(default) not in (int, float):
        return default
    everything = [getattr(x, "dtype", x) for x in (*others, default)]
    return np.array(default, np.result_type(*everything))


register(np.select, composed=_select)


def _choose(a: Array, choices: Sequence[Array], out: Any = None, mode: str = "raise") -> Array:
    if out is not None:
        raise UnsupportedError("choose: option 'out' would drop the graph; use the result")
    a = np.asarray(a) if isinstance(a, (int, list)) else a
    if a.dtype.kind not in "iub":
        raise DtypeError(f"choose: expected integers for argument 'a', got {a.dtype}")
    count = len(choices)
    if mode == "wrap":
        a = a % count
    elif mode == "clip":
        a = np.clip(a, 0, count - 1)
    elif mode != "raise":
        raise InputError(f"choose: expected mode 'raise', 'wrap' or 'clip', got {mode!r}")
    elif np.any(np.logical_or(a < 0, a >= count)):
        raise InputError(f"choose: expected integers from 0 to {count - 1}, the number of choices")
    others = max(count - 1, 1)  # than the last, which is the default
    return _select([a == i for i in range(others)], choices[:others], choices[-1])


register(np.choose, composed=_choose)


def _piecewise(
    x: Array, condlist: Any, funclist: Sequence[Any], *args: Any, **options: Any
) -> Array:
    """Each function sees only what its condition selects, as in NumPy; later ones overwrite."""
    if hasattr(condlist, "dtype"):
        alone = condlist.ndim < 2 and (x.ndim or not condlist.ndim)
    else:
        alone = isinstance(condlist, bool) or (x.ndim and isinstance(condlist[0], bool))
    conditions = [condlist] if alone else list(condlist)
    if len(funclist) == len(conditions) + 1:
        conditions.append(np.logical_not(reduce(np.logical_or, conditions)))
    elif len(funclist) != len(conditions):
        raise InputError(
            f"piecewise: expected {len(conditions)} functions, or one more for everywhere else, "
            f"got {len(funclist)}"
        )
    result = np.zeros_like(x)
    for condition, function in zip(conditions, funclist, strict=True):
        value = function
        if callable(function):
            selected = getitem(x, condition)
            if not selected.size:
                continue
            value = function(selected, *args, **options)
        result = index_update(result, condition, value)
    return result


register(np.piecewise, composed=_piecewise)


@composite
def masked_fill(x: Array, mask: Array, value: Array) -> Array:
    """`x` with `value` where the mask is true.

    Args:
        x: (...), float.
        mask: boolean, broadcasts with `x`; it gets no gradient.
        value: a number or a 0-d array; it gets the sum of the gradients at its places.

    Returns:
        The broadcast shape, dtype of `x`.

    Raises:
        DtypeError: if the mask is not boolean.
        InputError: if the value has axes.
    """
    mask = _boolean("masked_fill: mask", mask)
    if np.ndim(value):
        raise InputError(
            f"masked_fill: expected a number, got shape {np.shape(value)}; use np.where(mask, ...)"
        )
    filled: Array = np.where(mask, value, x)
    return filled.astype(x.dtype)

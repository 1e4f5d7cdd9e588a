"""What layers share: errors that name the layer, and sizes that must be positive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.mode import MODE

if TYPE_CHECKING:
    from tinygrad_edu.nn.module import Module

_REAL = frozenset("biuf")  # the kinds of dtype: booleans, integers, floats


def title(layer: Module) -> str:
    """What a message calls a layer: its class and, inside a network, where it is."""
    name, place = type(layer).__name__, MODE.get().scope
    return name if place in ("", name) else f"{name} ({place})"


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or a Tensor; () for all that holds no real numbers.

    No layer takes (), and `wrong_input` tells why.
    """
    shape: tuple[int, ...] = x.shape if _is_real(x) else ()
    return shape


def _is_real(x: Any) -> bool:
    real = getattr(getattr(x, "dtype", None), "kind", None) in _REAL
    return real and not isinstance(x, np.ma.MaskedArray)  # whose mask would be lost


def wrong_input(layer: Module, expected: str, x: Any) -> InputError | DtypeError:
    """An input whose shape, or dtype, does not fit a layer."""
    shape = getattr(x, "shape", None)
    if shape is not None and not _is_real(x):
        got = f"{type(x).__name__} of dtype {getattr(x, 'dtype', None)}"
        return DtypeError(f"{title(layer)}: expected an array of real numbers, got {got}")
    shown: Any = f"{type(x).__name__}, which has no shape" if shape is None else shape
    if isinstance(x, list | tuple):
        shown += "; write np.array(...)"
    return InputError(f"{title(layer)}: expected input of shape {expected}, got {shown}")


def numbers(layer: Module, x: Any) -> Any:
    """An array or a Tensor as it is; a number, or a list of them, as an array.

    Raises:
        DtypeError: if these are no integers or floats.
    """
    array = x if hasattr(x, "dtype") else np.asarray(x)
    if not _is_real(array) or array.dtype.kind == "b":
        raise DtypeError(
            f"{title(layer)}: expected integers or floats, got {type(x).__name__} of dtype "
            f"{array.dtype}"
        )
    return array


def check_floats(layer: Module, x: Any) -> None:
    """Input of a layer that integers would not do for, and that has a shape.

    Raises:
        DtypeError: if it is of another dtype.
    """
    if x.dtype.kind != "f":
        raise DtypeError(
            f"{title(layer)}: expected floats, got dtype {x.dtype}; use x.astype(float)"
        )


def check_sizes(layer: Module, **sizes: Any) -> None:
    """Sizes that a layer is built with.

    Raises:
        InputError: if one is no positive integer.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise InputError(
                f"{type(layer).__name__}: expected {name} to be a positive integer, got {size!r}"
            )


def check_probability(layer: Module, name: str, p: Any) -> None:
    """A probability that a layer is built with.

    Raises:
        InputError: if it is not between 0 and 1.
    """
    if not isinstance(p, int | float | np.floating) or not 0 <= p <= 1:
        raise InputError(f"{type(layer).__name__}: expected {name} between 0 and 1, got {p!r}")

"""What layers share: errors that name the layer, and sizes that must be positive."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.mode import MODE
from tinygrad_edu.nn.module import Module


def title(layer: Module) -> str:
    """What a message calls a layer: its class and, inside a network, where it is."""
    name, place = type(layer).__name__, MODE.get().scope
    return name if place in ("", name) else f"{name} ({place})"


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or a Tensor; () for what has none, which then fits no layer."""
    shape: tuple[int, ...] = getattr(x, "shape", ())
    return shape


def wrong_input(layer: Module, expected: str, x: Any) -> InputError:
    """An input whose shape does not fit a layer."""
    got = getattr(x, "shape", None)
    shown = f"{type(x).__name__}, which has no shape" if got is None else got
    return InputError(f"{title(layer)}: expected input of shape {expected}, got {shown}")


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


def check_rng(user: str, rng: Any) -> np.random.Generator:
    """The generator that whoever draws numbers must be given.

    Raises:
        DtypeError: if it is none.
    """
    if not isinstance(rng, np.random.Generator):
        raise DtypeError(
            f"{user}: expected rng to be a numpy.random.Generator, as in "
            f"rng=np.random.default_rng(0), got {type(rng).__name__}"
        )
    return rng

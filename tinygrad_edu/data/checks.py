"""Sizes that are whole numbers: of what makers and loaders of data, and training, are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, InputError


def check_whole(user: str, argument: str, value: Any, least: int, most: int | None = None) -> None:
    """A size: a whole number that is not out of bounds.

    Raises:
        DtypeError: if it is no whole number.
        InputError: if it is below `least`, or above `most`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise DtypeError(f"{user}: {argument} must be a whole number, got {value!r:.60}")
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InputError(f"{user}: {argument} must be {bounds}, got {value}")

"""Truth tables: all inputs of a Boolean function, and what it answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.checks import check_whole
from tinygrad_edu.errors import InputError
from tinygrad_edu.ops.random import check_rng

Table = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

_GATES = {  # what they answer to 00, 01, 10, 11
    "and": (0, 0, 0, 1),
    "or": (0, 1, 1, 1),
    "nand": (1, 1, 1, 0),
    "nor": (1, 0, 0, 0),
    "xor": (0, 1, 1, 0),
    "not": (1, 0),  # of one input
}


def truth_inputs(inputs: int) -> npt.NDArray[np.float32]:
    """All rows of 0 and 1 there are, counting up: 00, 01, 10, 11.

    Returns:
        (2**inputs, inputs) float32.

    Raises:
        InputError: if `inputs` is not between 1 and 20.
        DtypeError: if it is no whole number.
    """
    check_whole("truth_inputs", "inputs", inputs, 1, 20)
    rows = np.arange(2**inputs)[:, np.newaxis]
    return (rows >> np.arange(inputs)[::-1] & 1).astype(np.float32)


def gate(name: str) -> Table:
    """The table of a gate: "and", "or", "not", "nand", "nor" or "xor".

    All but xor are linearly separable: one perceptron learns them (Minsky and Papert 1969).

    Returns:
        Inputs (4, 2), or (2, 1) of "not", and answers (4, 1) or (2, 1), float32.

    Raises:
        InputError: if there is no gate of this name.
    """
    if name not in _GATES:
        raise InputError(f"gate: expected one of {', '.join(_GATES)}, got {name!r}")
    answers = np.array(_GATES[name], np.float32)[:, np.newaxis]
    return truth_inputs(1 if name == "not" else 2), answers


def parity(inputs: int) -> Table:
    """Whether the number of ones is odd: xor of all inputs, a hard table for a network.

    Returns:
        Inputs (2**inputs, inputs) and answers (2**inputs, 1), float32.

    Source: M. Minsky, S. Papert, Perceptrons (1969), section 3.1; D. Rumelhart, G. Hinton,
    R. Williams, Learning Internal Representations by Error Propagation (1986), "Parity".
    """
    rows = truth_inputs(inputs)
    return rows, np.sum(rows, axis=1, keepdims=True) % 2


def random_table(inputs: int, *, rng: np.random.Generator) -> Table:
    """One of the 2**(2**inputs) Boolean functions, each as likely as the others.

    Returns:
        Inputs (2**inputs, inputs) and answers (2**inputs, 1), float32.
    """
    check_rng("random_table", rng)
    rows = truth_inputs(inputs)
    return rows, rng.integers(2, size=(len(rows), 1)).astype(np.float32)

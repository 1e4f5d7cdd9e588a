"""Programs: a function's forward and backward pass written down as straight-line NumPy.

A `Tensor` whose data is a `Tracer` runs through the unchanged engine; what the ops and their rules
ask of it becomes the lines of a NumPy program: forward and backward, exactly as executed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from tinygrad_edu.backward import backpropagate
from tinygrad_edu.errors import GraphError, InputError
from tinygrad_edu.mode import Block
from tinygrad_edu.tensor import Tensor, seed
from tinygrad_edu.tracer import Line, Tape, Tracer, expression, text


class Program:
    """A function's forward and backward pass as straight-line NumPy.

    Attributes:
        source: the text of a Python function that needs only `np` and `tg`.
        constants: arrays that the traced function used without being passed them, by name.
    """

    def __init__(
        self, name: str, source: str, constants: dict[str, Any], shapes: dict[str, tuple[int, ...]]
    ) -> None:
        self.source, self.constants, self._shapes = source, constants, shapes
        self._name = name
        self._function: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return self.source

    __repr__ = __str__

    def __call__(self, *inputs: Any) -> Any:
        """Run the program on arrays of the shapes it was traced with.

        Returns:
            `(value, gradients)`: what the source's last line returns.

        Raises:
            InputError: if the inputs have other shapes.
        """
        if len(inputs) != len(self._shapes):
            raise InputError(f"{self._name}: expected {list(self._shapes)}, got {len(inputs)}")
        for (name, shape), value in zip(self._shapes.items(), inputs, strict=True):
            if np.shape(value) != shape:
                raise InputError(
                    f"{self._name}: traced with {name} of shape {shape}, got {np.shape(value)}; "
                    "trace again for other shapes"
                )
        if self._function is None:
            scope = {"np": np, "tg": sys.modules[__package__], **self.constants}
            exec(compile(self.source, f"<traced {self._name}>", "exec"), scope)
            self._function = scope[self._name]
        with np.errstate(all="ignore"):  # as in the backward pass that it was traced from
            return self._function(*inputs)


def trace(f: Callable[..., Any], *inputs: Any) -> Program:
    """Write down the forward and backward pass of `f` as a NumPy program.

    Args:
        f: function of Tensors that returns one element; its parameter names are used.
        *inputs: example arguments. The gradients are those of the Tensors with `requires_grad`,
            if there are any, otherwise of every float array.

    Returns:
        A program that prints as text and, called with arrays of the same shapes, returns
        `(value, gradients)` with the same numbers.

    Raises:
        InputError: if `f` returns more than one element.
        GraphError: if its result does not depend on the inputs.
        UnsupportedError: if `f` branches on the numbers.
    """
    tape = Tape()
    names = _parameter_names(f, len(inputs))
    chosen = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    tensors: list[Tensor] = []
    for name, x in zip(names, inputs, strict=True):
        value = np.asarray(x._array if isinstance(x, Tensor) else x)
        tracked = x.requires_grad if chosen and isinstance(x, Tensor) else not chosen
        tracked = tracked and value.dtype.kind == "f"
        tensors.append(Tensor(Tracer(value, tape, name), tracked, name))
    with Block(lambda mode: replace(mode, by_name=True)):
        y = f(*tensors)
    if not isinstance(y, Tensor) or not y.requires_grad:
        raise GraphError("trace: the result of f does not depend on any float input")
    if y.size != 1:
        raise InputError(f"trace: f must return one element, got shape {y.shape}")
    forward = len(tape.lines)
    asked = [t for t in tensors if t.requires_grad]
    found = backpropagate({y: seed(y, None, "trace")}, asked)
    gradients = {t: found[t] if t in found else np.zeros_like(t._array) for t in asked}
    return _written(f, tape, forward, tensors, y, gradients)


def _written(
    f: Callable[..., Any],
    tape: Tape,
    forward: int,
    tensors: Sequence[Tensor],
    y: Tensor,
    gradients: dict[Tensor, Tracer],
) -> Program:
    """Drop lines that nothing depends on, give names, and write the text."""
    inputs: list[Tracer] = [t._array for t in tensors]
    result: Tracer = y._array
    kept = _needed(tape.lines, [result, *gradients.values()])
    for t, gradient in gradients.items():
        gradient.name = gradient.name or f"d_{t._array.name}"
    taken = {"np", "tg", *(tracer.name for tracer in inputs)}
    for prefix, tracers in (
        ("c", tape.constants),
        ("t", [target for _, line in kept for target in line.targets]),
    ):
        fresh = (name for i in count(1) if (name := f"{prefix}{i}") not in taken)
        for tracer in tracers:
            tracer.name = tracer.name if tracer.name not in {"", *taken} else next(fresh)
            taken.add(tracer.name)
    functions: dict[str, Any] = {}
    title = f.__name__ if f.__name__.isidentifier() and f.__name__ not in taken else "program"
    rows = [(f"def {title}({', '.join(tracer.name for tracer in inputs)}):", "")]
    for kind, tracers in (("input", inputs), ("constant", tape.constants)):
        rows.extend((f"    # {kind} {t.name}: {t.dtype} {t.shape}", "") for t in tracers)
    for section, of_section in (
        ("forward", [line for number, line in kept if number < forward]),
        ("backward", [line for number, line in kept if number >= forward]),
    ):
        rows.append((f"    # {section}", ""))
        rows.extend(
            (
                f"    {_targets(line)} = {expression(line, functions)}",
                ", ".join(str(target.shape) for target in line.targets),
            )
            for line in of_section
        )
    rows.append((f"    return {result.name}, {text(tuple(gradients.values()))}", ""))
    width = min(max((len(row) for row, shape in rows if shape), default=0), 60)
    source = "\n".join(f"{row:<{width}}  # {shape}" if shape else row for row, shape in rows)
    constants = {constant.name: constant.value for constant in tape.constants}
    shapes = {tracer.name: tracer.shape for tracer in inputs}
    return Program(title, source, constants | functions, shapes)


def _needed(lines: list[Line], results: list[Tracer]) -> list[tuple[int, Line]]:
    """The lines that the results depend on, with their numbers."""
    needed = {id(result) for result in results}
    kept = []
    for number, line in reversed(list(enumerate(lines))):
        if any(id(target) in needed for target in line.targets):
            needed.update(id(source) for source in line.sources())
            kept.append((number, line))
    return kept[::-1]


def _targets(line: Line) -> str:
    names = ", ".join(target.name for target in line.targets)
    return f"({names},)" if line.many and len(line.targets) == 1 else names


def _parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of `f`'s positional parameters, `x1, x2, ...` for those that have none."""
    names: list[str] = []  # "np" and "tg" are what the program itself calls
    for p in inspect.signature(f).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}{i + 1}" for i in range(count - len(names))]
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(f"{p.name}_" if p.name in ("np", "tg") else p.name)
    if len(names) < count:
        raise InputError(f"trace: f takes {len(names)} arguments, got {count}")
    return names[:count]

"""What `tinygrad-edu draw` and `explain` do; `cli.py` reads their arguments."""

from __future__ import annotations

import inspect
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import user_file
from tinygrad_edu.errors import AutogradError, InputError


def draw(
    target: str, shapes: Sequence[str], out: Path, *, table: bool, show: bool, **options: Any
) -> int:
    """Draw the graph of a Tensor, or of what a function returns."""
    from viz import draw  # on demand: the package works without its pictures

    tensors, names = _load("draw", target, shapes)
    drawing = draw(tensors, names=names, **options)
    if table:
        print(drawing.text(), end="")
        return 0
    return _done(drawing.save(out), show)


def explain(target: str, shapes: Sequence[str], out: Path, *, show: bool, **options: Any) -> int:
    """Write the page that steps through the backward pass of a Tensor or a function."""
    from viz import explain

    tensors, names = _load("explain", target, shapes)
    return _done(explain(tensors, out, names=names, **options), show)


def _done(path: Path, show: bool) -> int:
    print(path)
    if show and not webbrowser.open(path.resolve().as_uri()):
        raise InputError(f"--open: no browser was found; open {path} yourself")
    return 0


def _load(command: str, target: str, shapes: Sequence[str]) -> tuple[Any, Mapping[str, Any]]:
    """The Tensor that is named, and what the Tensors of its graph are called."""
    module, name = user_file.load(target)
    found = getattr(module, name, None) if name else None
    names = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    if _are_tensors(found):
        return found, names
    if not inspect.isfunction(found):
        head = target.removesuffix(f":{name}") if name else target
        ways = [key for key, value in names.items() if isinstance(value, tg.Tensor)]
        ways = [f"{head}:{way}" for way in (*ways, *user_file.functions(module))]
        raise InputError(
            f"{command}: name a Tensor or a function of {head}: {', '.join(ways) or 'it has none'}"
        )
    return _result(command, found, module, shapes), names


def _result(command: str, f: Any, module: ModuleType, shapes: Sequence[str]) -> Any:
    """What a function returns for example arguments, which are Tensors of their names."""
    examples = user_file.examples(command, f, module, shapes)
    arguments = []
    for name, x in zip(inspect.signature(f).parameters, examples, strict=False):
        if isinstance(x, np.ndarray):
            x = tg.Tensor(x, requires_grad=x.dtype.kind == "f", name=name)
        arguments.append(x)
    try:
        result = f(*arguments)
    except AutogradError:
        raise
    except Exception as error:
        lines = user_file.own_lines(error)
        raise InputError(f"{command}: {f.__name__} fails:\n{lines}") from None
    if not _are_tensors(result):
        raise InputError(
            f"{command}: expected {f.__name__} to return a Tensor, got {type(result).__name__}"
        )
    return result


def _are_tensors(value: Any) -> bool:
    several = isinstance(value, list | tuple) and len(value) > 0
    return isinstance(value, tg.Tensor) or (
        several and all(isinstance(part, tg.Tensor) for part in value)
    )

"""What `tinygrad-edu draw` and `explain` do; `cli.py` reads their arguments."""

from __future__ import annotations

import inspect
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import user_file
from tinygrad_edu.errors import AutogradError, InputError

Target = tuple[str, Sequence[str], Sequence[str] | None]  # FILE:NAME, shapes, what needs a gradient


def draw(
    target: Target,
    out: Path,
    *,
    table: bool,
    show: bool,
    around: str | None = None,
    highlight: str | None = None,
    **options: Any,
) -> int:
    """Draw the graph of a Tensor, or of what a function returns."""
    from viz import draw  # on demand: the package works without its pictures

    tensors, names = _load("draw", *target)
    if around is not None:
        options["around"] = _tensor(around, names)
    if highlight is not None:
        options["highlight"] = highlight if highlight == "gradients" else _tensor(highlight, names)
    drawing = draw(tensors, names=names, **options)
    if table:
        print(drawing.text(), end="")
        return 0
    return _done(drawing.save(out), show)


def explain(target: Target, out: Path, *, show: bool, **options: Any) -> int:
    """Write the page that steps through the backward pass of a Tensor or a function."""
    from viz import explain

    tensors, names = _load("explain", *target)
    return _done(explain(tensors, out, names=names, **options), show)


def _done(path: Path, show: bool) -> int:
    print(path)
    if show and not webbrowser.open(path.resolve().as_uri()):
        raise InputError(f"--open: no browser was found; open {path} yourself")
    return 0


def _load(
    command: str, target: str, shapes: Sequence[str], wrt: Sequence[str] | None
) -> tuple[Any, dict[str, Any]]:
    """The Tensor that is named, and what the Tensors of its graph are called."""
    module, name = user_file.load(target)
    found = getattr(module, name, None) if name else None
    names = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    if _are_tensors(found):
        return found, names
    if not inspect.isfunction(found):
        head = target.removesuffix(f":{name}") if name else target
        ways = [key for key, value in names.items() if _are_tensors(value)]
        ways = [f"{head}:{way}" for way in (*ways, *user_file.functions(module))]
        missing = f"{head} has no {name!r}; " if name and not hasattr(module, name) else ""
        raise InputError(
            f"{command}: {missing}name a Tensor or a function of {head}: "
            f"{', '.join(ways) or 'it has none'}"
        )
    arguments = _arguments(command, found, user_file.examples(command, found, module, shapes), wrt)
    result = _result(command, found, arguments)
    return result, names | arguments | {name: result}


def _arguments(
    command: str, f: Any, examples: Sequence[Any], wrt: Sequence[str] | None
) -> dict[str, Any]:
    """Example arguments of a function as Tensors, of which those of floats need a gradient."""
    arguments = dict(zip(inspect.signature(f).parameters, examples, strict=False))
    if unknown := [name for name in wrt or () if name not in arguments]:
        raise InputError(
            f"{command}: --wrt {unknown[0]}: {f.__name__} has no such argument, it has "
            f"{', '.join(arguments)}"
        )
    for name, x in arguments.items():
        if isinstance(x, np.ndarray):
            wanted = x.dtype.kind == "f" if wrt is None else name in wrt
            arguments[name] = tg.Tensor(x, requires_grad=wanted, name=name)
    return arguments


def _result(command: str, f: Any, arguments: Mapping[str, Any]) -> Any:
    """What a function returns."""
    try:
        result = f(*arguments.values())
    except AutogradError:
        raise
    except (Exception, SystemExit) as error:
        lines = user_file.own_lines(error)
        raise InputError(f"{command}: {f.__name__} fails:\n{lines}") from None
    if not _are_tensors(result):
        raise InputError(
            f"{command}: expected {f.__name__} to return a Tensor, got {type(result).__name__}"
        )
    return result


def _tensor(name: str, names: Mapping[str, Any]) -> tg.Tensor:
    found = names.get(name)
    if not isinstance(found, tg.Tensor):
        known = [key for key, value in names.items() if isinstance(value, tg.Tensor)]
        raise InputError(
            f"draw: there is no Tensor {name!r} in the file or among the arguments; there are "
            f"{', '.join(known) or 'none'}"
        )
    return found


def _are_tensors(value: Any) -> bool:
    several = isinstance(value, list | tuple) and len(value) > 0
    return isinstance(value, tg.Tensor) or (
        several and all(isinstance(part, tg.Tensor) for part in value)
    )

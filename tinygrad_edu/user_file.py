"""The user's file that a command works on: importing it, and calling what is in it."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import REGISTRY


def load(target: str) -> tuple[ModuleType, str]:
    """Import "model.py:loss" or "package.module:loss"; the current folder counts as importable.

    Raises:
        InputError: if there is no such module, or importing it fails: with the module's own lines.
    """
    head, _, name = target.rpartition(":")
    if not head or not name.isidentifier():  # C:\model.py
        head, name = target, ""
    path = Path(head)
    if path.suffix == ".py" or path.exists():
        if not path.is_file():
            raise InputError(f"there is no file {head}")
        sys.path.insert(0, str(path.resolve().parent))
        return _run(lambda: _from_file(path), head), name
    sys.path.insert(0, str(Path.cwd()))
    return _run(lambda: import_module(head), head), name


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _run(load: Callable[[], ModuleType], name: str) -> ModuleType:
    try:
        return load()
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"there is no module {name!r}, seen from {Path.cwd()}") from None
        failure: BaseException = error
    except (Exception, SystemExit) as error:
        failure = error
    raise InputError(f"{name} cannot be imported:\n{own_lines(failure)}") from None


def own_lines(error: BaseException) -> str:
    """The traceback without this package's lines and the import machinery's."""
    shown = traceback.TracebackException.from_exception(error)
    ours = str(Path(__file__).parent)
    shown.stack = traceback.StackSummary.from_list(
        [
            frame
            for frame in shown.stack
            if not frame.filename.startswith(ours) and "importlib" not in frame.filename
        ]
    )
    shown.__cause__ = shown.__context__ = None
    return "".join(shown.format()).rstrip()


def functions(module: ModuleType) -> list[str]:
    """The names of the functions that a module defines, ops aside."""
    found = [f for f in vars(module).values() if inspect.isfunction(f) and f not in REGISTRY]
    return [f.__name__ for f in found if f.__module__ == module.__name__]


def examples(
    command: str, f: Callable[..., Any], module: ModuleType, shapes: Sequence[str]
) -> list[Any]:
    """An example for each argument of `f`: of a given shape, its default, or a global array.

    Raises:
        InputError: if a shape is missing or cannot be read.
    """
    given = _read_shapes(command, shapes)
    parameters = inspect.signature(f).parameters
    for name in given:
        if name not in parameters:
            raise InputError(
                f"{command}: {f.__name__} has no argument {name!r}, it has {', '.join(parameters)}"
            )
    found: dict[str, Any] = {}
    missing: list[str] = []
    for name, parameter in parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise InputError(
                f"{command}: {f.__name__} must be given {name!r} by keyword, which cannot be done "
                "here; give it a default"
            )
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            break
        for value in (given.get(name), parameter.default, getattr(module, name, None)):
            if isinstance(value, (tg.Tensor, np.ndarray)):
                found[name] = value
                break
        else:
            if parameter.default is not parameter.empty:
                break  # an option, which keeps its default, as what follows it does
            if parameter.kind is not parameter.VAR_POSITIONAL:
                missing.append(name)
    if missing:
        raise InputError(
            f"{command}: of which shape is {missing[0]!r} of {f.__name__}? Say, for instance, "
            f"--shape {' '.join(f'{name}=3,4' for name in missing)} (x=() is a number, x=3:int are "
            "integers); or define an array of that name in the file, or as its default"
        )
    return list(found.values())


def _read_shapes(command: str, texts: Sequence[str]) -> dict[str, Any]:
    """Arrays from "x=3,4", "n=()" and "labels=3:int"."""
    arrays = {}
    for text in texts:
        match = re.fullmatch(r"(\w+)=\(?([\d,x ]*)\)?(?::(\w+))?", text)
        try:
            if match is None:
                raise ValueError
            shape = tuple(int(n) for n in re.split("[,x]", match[2].replace(" ", "")) if n)
            dtype = np.dtype(match[3] or "float64")
        except (ValueError, TypeError):
            raise InputError(
                f"{command}: expected NAME=SHAPE as in x=3,4 or labels=3:int, got {text!r}"
            ) from None
        try:  # inside the domain of nearly every function
            numbers = np.random.default_rng(0).uniform(0.2, 0.8, shape)
        except (MemoryError, ValueError) as error:
            raise InputError(f"{command}: {text}: no array can be that large: {error}") from None
        arrays[match[1]] = numbers.astype(dtype)
    return arrays

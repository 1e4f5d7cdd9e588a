"""Write docs/layers.md from the docstrings of tg.nn, tg.optim and tg.data: `make docs`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tinygrad_edu import data, nn, optim

PAGE = Path(__file__).parent / "layers.md"
INTRODUCTION = """\
<!-- Written by `make docs` (docs/make_layers.py) from the docstrings: do not edit it by hand. -->
# Layers, optimisers, data: all of them

Each with what it takes and the first line of its docstring; `help(nn.Linear)` shows the rest:
shapes, errors, sources. How they are used is told in [training](training.md). The dtype `float` is
float64.
"""
FAMILIES = (
    (nn, "nn", ("module", "linear", "convolution", "pooling", "normalisation", "activations")),
    (nn, "nn", ("dropout", "embedding", "containers", "networks", "recurrent", "cells")),
    (nn, "nn", ("attention", "losses", "fit", "history", "checkpoint")),
    (nn.init, "nn.init", ()),
    (optim, "optim", ("algorithms", "schedules", "clipping", "optimizer")),
    (data, "data", ("digits", "mnist", "idx", "loader", "logic", "sequences", "text")),
)


def page() -> str:
    """The whole document."""
    lines = [INTRODUCTION]
    for package, prefix, families in FAMILIES:
        for family in [f"{package.__name__}.{name}" for name in families] or [package.__name__]:
            lines += _section(import_module(family), prefix, _public(package, family))
    return "\n".join(lines)


def _public(package: ModuleType, family: str) -> list[tuple[str, Any]]:
    """What a package exports of one of its modules, in the order of the module."""
    names = getattr(package, "__all__", None) or [n for n in vars(package) if n[0] != "_"]
    in_place = {f"{name}_" for name in names}  # the heading of nn.init says what they do
    found = [(name, getattr(package, name)) for name in names if name not in in_place]
    own = [(name, value) for name, value in found if getattr(value, "__module__", "") == family]
    return sorted(own, key=lambda item: inspect.getsourcelines(item[1])[1])


def _section(module: ModuleType, prefix: str, members: Iterable[tuple[str, Any]]) -> list[str]:
    path = f"tinygrad_edu/{'/'.join(module.__name__.split('.')[1:])}.py"
    lines = [f"## {_first(module)}", "", f"[`{path}`](../{path})", ""]
    lines += ["| name | what it is |", "| --- | --- |"]
    for name, value in members:
        call = f"`{prefix}.{name}{_signature(value)}`"
        lines.append(f"| {call} | {_first(value)} |".replace("||", r"\|\|"))
    return [*lines, ""]


def _signature(value: Any) -> str:
    """As one reads it: without types."""
    if inspect.isclass(value) and issubclass(value, Exception):
        return ""
    signature = inspect.signature(value)
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    text = str(signature.replace(parameters=parameters, return_annotation=signature.empty))
    return re.sub(r"<(?:class|function) '?(?:\w+\.)*(\w+).*?>", r"\1", text)


def _first(value: Any) -> str:
    """The first sentence of a docstring."""
    text = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    return text.replace("|", r"\|").rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")

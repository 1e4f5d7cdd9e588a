"""How to call the ops whose rules alone do not say it: one line each, options and edge shapes.

One module per module of `tinygrad_edu.ops`, each with a table `SAMPLES`: function to calls.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

SAMPLES: dict[Any, list[Any]] = {}
NOT_ELEMENTWISE: set[Any] = set()  # although its signature looks like it
INTERNAL: dict[Any, str] = {}  # parts of other ops, and checked with them
NO_PROGRAM: dict[Any, str] = {}  # what `trace` refuses, and why

for _module in iter_modules(__path__):
    _found = vars(import_module(f"samples.{_module.name}"))
    SAMPLES |= _found.get("SAMPLES", {})
    INTERNAL |= _found.get("INTERNAL", {})
    NO_PROGRAM |= _found.get("NO_PROGRAM", {})
    NOT_ELEMENTWISE |= _found.get("NOT_ELEMENTWISE", set())

"""The engines, a module each, so that a child process can import just one of them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from benchmarks.workloads import Engine

# name -> module here, and the packages it needs, the engine itself first
ENGINES = {
    "ours": ("ours", ["tinygrad_edu"]),
    "torch eager": ("torch_eager", ["torch"]),
    "autograd": ("hips_autograd", ["autograd", "scipy"]),
    "MyGrad": ("my_grad", ["mygrad"]),
}


def missing(name: str) -> list[str]:
    """Name the packages that an engine needs and that are not installed."""
    return [package for package in ENGINES[name][1] if find_spec(package) is None]


def load(name: str) -> list[Engine]:
    """Import an engine and its variants, itself first."""
    return list(import_module(f"benchmarks.engines.{ENGINES[name][0]}").VARIANTS)

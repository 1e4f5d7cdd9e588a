"""The errors of the project: one family, each also the built-in error that NumPy users expect."""

from __future__ import annotations

from numpy import linalg


class AutogradError(Exception):
    """Base of every error raised on purpose by this package."""


class InputError(AutogradError, ValueError):
    """An argument has a value or a shape that does not fit."""


class LinAlgError(InputError, linalg.LinAlgError):
    """A matrix is singular or not positive definite, or an iteration did not converge."""


class DtypeError(AutogradError, TypeError):
    """An argument has a type or a dtype that does not fit."""


class IndexingError(AutogradError, IndexError):
    """An index or an axis lies outside the array."""


class UnsupportedError(AutogradError, TypeError):
    """A function, a method or an option that has no gradient rule."""


class GraphError(AutogradError, RuntimeError):
    """The graph cannot do what was asked: it is freed, constant, or would be lost."""


class RuleError(AutogradError, RuntimeError):
    """A gradient rule is wrong: it names no argument of its op, or returns the wrong shape."""


class AnomalyError(AutogradError, FloatingPointError):
    """Found by `detect_anomaly`: a non-finite value, or data that changed under the graph."""


class GradientError(AutogradError, AssertionError):
    """A gradient check failed."""

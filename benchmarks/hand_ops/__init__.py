"""The backward pass of every op as a good NumPy programmer writes it, a line each.

A form knows what the op's rule knows, `(g, out, *args)`, and gives the gradients of all drawn
arguments together, so that it may share work between them. A gradient is an array that nobody
else holds, as that of a leaf must be.
"""

from __future__ import annotations

from typing import Any

from benchmarks.hand_ops import (
    elementwise,
    images,
    indexing,
    linalg,
    recurrent,
    reductions,
    shapes,
    special,
)
from benchmarks.hand_ops.base import Case as Case
from benchmarks.hand_ops.base import Draw as Draw


def cases(n: int) -> list[Case]:
    """All calls, with arrays of about n * n elements; n: a multiple of 20, at least 40."""
    modules = elementwise, special, reductions, indexing, shapes, linalg, images, recurrent
    return [case for module in modules for case in module.cases(n)]


def key(function: Any) -> str:
    """Module and name of a function."""
    module = getattr(function, "__module__", "scipy.special")  # whose ufuncs do not tell
    return f"{module}.{function.__name__}".removeprefix("tinygrad_edu.")


_BESSEL = "nothing but the time of two Bessel functions"

# Parts of other ops, which are timed with those; and what SciPy alone decides.
LEFT_OUT = {
    "tensor.select": "one of several results: split, unstack",
    "ops.shape.to_float": "astype",
    "ops.padding.pad_with_numbers": "pad",
    "ops.numerics.convolve_full": "convolve",
    "ops.numerics.correlate_valid": "correlate",
    "ops.scans.linear_recurrence": "cumprod; its own rules are of second order",
    "ops.determinants.cofactor": "det; its own rules are of second order",
    "ops.matrix_functions.expm_frechet": "expm; its own rules are of second order",
    "ops.random.straight_through": "the gradient passes unchanged",
    "ops.convolution.convolution": "conv2d",
    "ops.convolution.convolution_x": "conv2d; conv_transpose2d calls the same functions",
    "ops.convolution.convolution_w": "conv2d; its own rules are of second order",
    "ops.windows.windows": "unfold",
    "ops.windows.add_windows": "fold",
    "ops.windows.add_sliding": "sliding_window_view",
    "ops.pooling.max_along": "max_pool2d",
    "ops.pooling.to_places": "max_pool2d",
    "ops.pooling.from_places": "max_pool2d; its own rule is one of second order",
    "ops.pooling.sum_along": "avg_pool2d",
    "ops.pooling.add_back_along": "avg_pool2d",
    "ops.resampling.take_sorted": "interpolate",
    "ops.resampling.add_sorted": "interpolate",
    "ops.normalisation.standardise": "layer_norm, batch_norm",
    "scipy.special.rgamma": "SciPy's psi and gamma take all the time",
    **{f"scipy.special.{f}": _BESSEL for f in ("j1", "i1", "i1e", "jv", "yn", "yv", "iv", "ive")},
    **{f"scipy.special.{f}": _BESSEL for f in ("kn", "kv", "kve")},
}

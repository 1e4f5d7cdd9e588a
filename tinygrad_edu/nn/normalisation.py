"""Normalisation: numbers with mean 0 and variance 1, over the features or over the batch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.nn import init
from tinygrad_edu.nn.checks import (
    check_floats,
    check_probability,
    check_sizes,
    shape_of,
    title,
    wrong_input,
)
from tinygrad_edu.nn.module import Buffer, Module, Parameter
from tinygrad_edu.ops.normalisation import batch_norm, layer_norm, rms_norm


class _OverFeatures(Module):
    """What `LayerNorm` and `RMSNorm` share: the last axes, and their check."""

    normalized_shape: tuple[int, ...]
    eps: float | None
    elementwise_affine: bool

    def _check(self, x: Any) -> None:
        shape = shape_of(x)
        if shape[max(len(shape) - len(self.normalized_shape), 0) :] != self.normalized_shape:
            sizes = ", ".join(map(str, self.normalized_shape))
            raise wrong_input(self, f"(..., {sizes})", x)
        check_floats(self, x)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


def _sizes(layer: Module, shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if not sizes:
        raise InputError(f"{type(layer).__name__}: expected normalized_shape to have an axis")
    check_sizes(layer, **{f"normalized_shape[{i}]": size for i, size in enumerate(sizes)})
    return sizes


def _check_eps(layer: Module, eps: Any) -> None:
    if not isinstance(eps, int | float | np.floating) or not eps >= 0:
        raise InputError(f"{type(layer).__name__}: expected eps to be 0 or more, got {eps!r}")


class LayerNorm(_OverFeatures):
    """(x - mean) / √(variance + eps) · weight + bias over the last axes of each example.

    Args:
        normalized_shape: the lengths of these axes, or one length.
        eps: added to the variance.
        elementwise_affine: whether there are weight and bias.
        bias: whether there is a bias.
        dtype: of the parameters; float64 by default.

    Attributes:
        weight: of normalized_shape, 1 at the start; or None.
        bias: of normalized_shape, 0 at the start; or None.

    Raises:
        InputError: if a size is not positive, or at the call if the input does not end with them.
        DtypeError: at the call, if the input holds no floats.

    Source: J. Ba, J. Kiros, G. Hinton, "Layer Normalization" (2016).
    """

    eps: float

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = float,
    ) -> None:
        shape = _sizes(self, normalized_shape)
        _check_eps(self, eps)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(init.ones(shape, dtype=dtype)) if elementwise_affine else None
        has_bias = elementwise_affine and bias
        self.bias = Parameter(init.zeros(shape, dtype=dtype)) if has_bias else None

    def forward(self, x: Any) -> Any:
        """Shape of x."""
        self._check(x)
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(_OverFeatures):
    """x / √(mean of squares + eps) · weight over the last axes of each example.

    Args:
        normalized_shape: the lengths of these axes, or one length.
        eps: added to the mean; by default the machine epsilon of x's dtype.
        elementwise_affine: whether there is a weight.
        dtype: of the weight; float64 by default.

    Attributes:
        weight: of normalized_shape, 1 at the start; or None.

    Raises:
        InputError: if a size is not positive, or at the call if the input does not end with them.
        DtypeError: at the call, if the input holds no floats.

    Source: B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization" (2019).
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = float,
    ) -> None:
        shape = _sizes(self, normalized_shape)
        _check_eps(self, 0 if eps is None else eps)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(init.ones(shape, dtype=dtype)) if elementwise_affine else None

    def forward(self, x: Any) -> Any:
        """Shape of x."""
        self._check(x)
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


class _BatchNorm(Module):
    """What `BatchNorm1d` and `BatchNorm2d` share; see there."""

    _inputs: Mapping[int, str]  # number of axes -> expected shape

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = float,
    ) -> None:
        check_sizes(self, num_features=num_features)
        check_probability(self, "momentum", 0 if momentum is None else momentum)
        _check_eps(self, eps)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(init.ones(num_features, dtype=dtype)) if affine else None
        has_bias = affine and bias
        self.bias = Parameter(init.zeros(num_features, dtype=dtype)) if has_bias else None
        self.track_running_stats = track_running_stats
        if track_running_stats:
            self.running_mean = Buffer(init.zeros(num_features, dtype=dtype))
            self.running_var = Buffer(init.ones(num_features, dtype=dtype))
            self.num_batches_tracked = Buffer(np.zeros((), np.int64))

    def forward(self, x: Any) -> Any:
        """Shape of x."""
        shape = shape_of(x)
        if len(shape) not in self._inputs or shape[1] != self.num_features:
            shapes = " or ".join(self._inputs.values()).replace("C", str(self.num_features))
            raise wrong_input(self, shapes, x)
        check_floats(self, x)
        if x.size <= self.num_features and (self.training or not self.track_running_stats):
            raise InputError(
                f"{title(self)}: expected more than one number per channel, got shape {shape}, "
                "which has no variance"
                + ("; in evaluation call model.eval()" if self.track_running_stats else "")
            )
        if not self.track_running_stats:
            return batch_norm(x, None, None, self.weight, self.bias, True, eps=self.eps)
        mean, var, seen = self.running_mean.data, self.running_var.data, self.num_batches_tracked
        momentum = 1 / (seen.item() + 1) if self.momentum is None else self.momentum
        out = batch_norm(x, mean, var, self.weight, self.bias, self.training, momentum, self.eps)
        if self.training:
            seen.data += 1
        return out

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.weight is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of vectors (N, C) or sequences (N, C, L); see `BatchNorm2d`."""

    _inputs = MappingProxyType({2: "(N, C)", 3: "(N, C, L)"})


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W).

    Each channel gets mean 0 and variance 1 over the batch, then is scaled and shifted.

    In training the statistics are those of the batch, and the running ones move towards them; in
    evaluation (`model.eval()`) the running ones are used, so that examples do not depend on each
    other.

    Args:
        num_features: the number C of channels.
        eps: added to the variance.
        momentum: how much a batch counts in the running statistics; None for a plain average.
        affine: whether there are weight and bias.
        track_running_stats: keep running statistics; otherwise the batch's are used always.
        bias: whether there is a bias, if `affine`.
        dtype: of parameters and buffers; float64 by default.

    Attributes:
        weight: (C,), 1 at the start; or None.
        bias: (C,), 0 at the start; or None.
        running_mean: (C,), a buffer.
        running_var: (C,), a buffer; unbiased, as in PyTorch.
        num_batches_tracked: 0-d integer, a buffer.

    Raises:
        InputError: if a size is not positive; at the call if the input does not fit, or in
            training if there is one number per channel.
        DtypeError: at the call, if the input holds no floats.

    Source: S. Ioffe, C. Szegedy, "Batch Normalization" (2015), algorithms 1 and 2.
    """

    _inputs = MappingProxyType({4: "(N, C, H, W)"})

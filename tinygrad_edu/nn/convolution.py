"""Convolutions with a kernel that is learnt."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.nn.checks import check_sizes, shape_of, title, wrong_input
from tinygrad_edu.nn.linear import default_uniform
from tinygrad_edu.nn.module import Module
from tinygrad_edu.ops.convolution import conv1d, conv2d
from tinygrad_edu.ops.random import check_rng
from tinygrad_edu.ops.windows import Sizes, each_axis

_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Conv(Module):
    """What `Conv1d` and `Conv2d` share; see `Conv2d`."""

    _axes: int
    _shape: str
    _function: Callable[..., Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rng: np.random.Generator | None = None,
        dtype: Any = float,
    ) -> None:
        name, axes = type(self).__name__, self._axes
        check_sizes(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise InputError(
                f"{name}: expected groups to divide in_channels and out_channels, got "
                f"groups={groups} for {in_channels} and {out_channels}"
            )
        check_rng(name, rng)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = each_axis(name, "kernel_size", kernel_size, axes)
        self.stride = each_axis(name, "stride", stride, axes)
        self.dilation = each_axis(name, "dilation", dilation, axes)
        self._set_padding(padding, padding_mode)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        fan_in = math.prod(shape[1:])
        self.weight = default_uniform(shape, fan_in, rng, dtype)
        self.bias = default_uniform(out_channels, fan_in, rng, dtype) if bias else None

    def _set_padding(self, padding: Sizes | str, mode: str) -> None:
        name, axes = type(self).__name__, self._axes
        if mode not in _MODES:
            known = ", ".join(map(repr, _MODES))
            raise InputError(f"{name}: expected padding_mode {known}, got {mode!r}")
        if not isinstance(padding, str):
            padding = each_axis(name, "padding", padding, axes, 0)
        elif padding not in ("same", "valid"):
            raise InputError(
                f"{name}: expected padding to be 'same', 'valid' or numbers, got {padding!r}"
            )
        if padding == "same" and self.stride != (1,) * axes:
            raise InputError(f"{name}: padding 'same' needs stride 1, got stride {self.stride}")
        self.padding, self.padding_mode = padding, mode

    def _ends(self) -> list[tuple[int, int]]:
        """What is put at both ends of each axis."""
        if not isinstance(self.padding, str):
            numbers = each_axis(type(self).__name__, "padding", self.padding, self._axes, 0)
            totals = [2 * n for n in numbers]
        elif self.padding == "same":
            totals = [d * (k - 1) for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        else:
            totals = [0] * self._axes
        return [(total // 2, total - total // 2) for total in totals]

    def _prepared(self, x: Any) -> tuple[Any, Any]:
        """The input, and the zeros to put at its ends; what is no zero is there already."""
        shape, axes = shape_of(x), self._axes
        if len(shape) not in (axes + 1, axes + 2) or shape[-axes - 1] != self.in_channels:
            expected = f"({self.in_channels}, {self._shape})"
            raise wrong_input(self, f"(N, {expected[1:]} or {expected}", x)
        if self.padding_mode == "zeros":
            return x, self.padding
        ends = self._ends()
        rest = {"reflect": 1, "circular": 0}.get(self.padding_mode, -math.inf)  # of the image
        if any(max(pair) + rest > n for pair, n in zip(ends, shape[-axes:], strict=True)):
            raise InputError(
                f"{title(self)}: expected input that is longer than its padding {ends} of "
                f"mode {self.padding_mode!r}, got shape {shape}"
            )
        widths = [(0, 0)] * (len(shape) - axes) + ends
        mode: Any = _MODES[self.padding_mode]
        return np.pad(x, widths, mode), 0

    def forward(self, x: Any) -> Any:
        """(N, C, L) to (N, O, L'), (N, C, H, W) to (N, O, H', W'), or both without N."""
        x, zeros = self._prepared(x)
        settings = (self.stride, zeros, self.dilation, self.groups)
        return self._function(x, self.weight, self.bias, *settings)

    def extra_repr(self) -> str:
        """The settings that are not as usual."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        ones, zeros = (1,) * self._axes, (0,) * self._axes
        usual: dict[str, Any] = {"stride": ones, "padding": zeros, "dilation": ones, "groups": 1}
        usual["padding_mode"] = "zeros"
        parts += [
            f"{name}={getattr(self, name)!r}"
            for name, value in usual.items()
            if getattr(self, name) != value
        ]
        return ", ".join(parts + (["bias=False"] if self.bias is None else []))


class Conv1d(_Conv):
    """Convolution of sequences (N, C, L) with a weight (O, C/groups, k); see `Conv2d`."""

    _axes, _shape, _function = 1, "L", staticmethod(conv1d)


class Conv2d(_Conv):
    """Convolution of images: each output is the sum of a window, weighted by a kernel.

    Args:
        in_channels: channels C that go in.
        out_channels: channels O that come out.
        kernel_size: a number or (height, width), like the three that follow.
        stride: from one window to the next.
        padding: what is put at both ends of an axis; "valid" is 0, "same" keeps the size for
            stride 1.
        dilation: from one element of a window to the next.
        groups: C and O are split into so many groups, each convolved by itself.
        bias: add one number per output channel.
        padding_mode: what the padding is: "zeros", the image mirrored ("reflect"), its edge again
            and again ("replicate"), or its other end ("circular").
        rng: where the initial numbers come from: even on ±1/√(C/groups · kernel size) as in
            PyTorch.
        dtype: of the parameters; float64 by default.

    Attributes:
        weight: (O, C/groups, kh, kw).
        bias: (O,), or None.

    Raises:
        InputError: if sizes or settings do not fit, or at the call the input.
        DtypeError: if `rng` is no Generator.
    """

    _axes, _shape, _function = 2, "H, W", staticmethod(conv2d)

"""Pooling: the largest or the mean of each window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_edu.nn.checks import numbers, shape_of, wrong_input
from tinygrad_edu.nn.module import Module
from tinygrad_edu.ops.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from tinygrad_edu.ops.resampling import adaptive_avg_pool2d
from tinygrad_edu.ops.windows import Sizes, each_axis


class _Pool(Module):
    """What the poolings share; see `MaxPool2d`, `AvgPool2d`."""

    _axes: int

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
            each_axis(type(self).__name__, name, getattr(self, name), self._axes, least)

    def _check(self, x: Any) -> None:
        if len(shape_of(x)) not in (self._axes + 1, self._axes + 2):
            letters = "L" if self._axes == 1 else "H, W"
            raise wrong_input(self, f"(N, C, {letters}) or (C, {letters})", x)
        numbers(self, x)

    def extra_repr(self) -> str:
        """The settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    _function: Callable[..., Any]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        each_axis(type(self).__name__, "dilation", dilation, self._axes)
        self.dilation, self.return_indices = dilation, return_indices

    def forward(self, x: Any) -> Any:
        """(N, C, L) to (N, C, L'), (N, C, H, W) to (N, C, H', W'), or both without N."""
        self._check(x)
        settings = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return self._function(x, *settings, self.return_indices)


class MaxPool1d(_MaxPool):
    """The largest of each window of sequences (N, C, L); see `MaxPool2d`."""

    _axes = 1
    _function = staticmethod(max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest of each window of images; of equal ones the first gets the gradient.

    Args:
        kernel_size: of a window, a number or (height, width), like the three that follow.
        stride: from one window to the next; by default the kernel's size.
        padding: how far windows reach over the edge, at most half a kernel; never the largest.
        dilation: from one element of a window to the next.
        return_indices: return also where in the flattened image each maximum was.
        ceil_mode: keep the last window even if it reaches over the edge.

    Raises:
        InputError: if settings make no sense, or at the call the input does not fit.
    """

    _axes = 2
    _function = staticmethod(max_pool2d)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad


class AvgPool1d(_AvgPool):
    """The mean of each window of sequences (N, C, L); see `AvgPool2d`."""

    _axes = 1

    def forward(self, x: Any) -> Any:
        """(N, C, L) to (N, C, L'), or both without N."""
        self._check(x)
        settings = (self.kernel_size, self.stride, self.padding, self.ceil_mode)
        return avg_pool1d(x, *settings, self.count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of each window of images.

    Args:
        kernel_size: of a window, a number or (height, width), like the two that follow.
        stride: from one window to the next; by default the kernel's size.
        padding: how far windows reach over the edge, at most half a kernel.
        ceil_mode: keep the last window even if it reaches over the edge.
        count_include_pad: count the padding as zeros; otherwise only what is inside counts.
        divisor_override: divide the sum by this instead.

    Raises:
        InputError: if settings make no sense, or at the call the input does not fit.
    """

    _axes = 2

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) to (N, C, H', W'), or both without N."""
        self._check(x)
        settings = (self.kernel_size, self.stride, self.padding, self.ceil_mode)
        return avg_pool2d(x, *settings, self.count_include_pad, self.divisor_override)


class AdaptiveAvgPool2d(Module):
    """The mean of windows chosen so that the result has a given size; 1 averages all of an image.

    Args:
        output_size: a number or (height, width); None keeps a side as it is.

    Raises:
        InputError: at the call, if the size or the input does not fit.
    """

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) to (N, C, *output_size), or both without N."""
        if len(shape_of(x)) not in (3, 4):
            raise wrong_input(self, "(N, C, H, W) or (C, H, W)", x)
        return adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"

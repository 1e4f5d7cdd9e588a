"""The optimisers: each a few lines of NumPy on one array, in PyTorch's order of operations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.optim.optimizer import Array, Optimizer, Options, State


class SGD(Optimizer):
    """Gradient descent, θ ← θ - lr g; with momentum, along a running sum of gradients instead.

    The sum is b ← momentum b + (1 - dampening) g, begun with the first g in full, and the step
    -lr b; with `nesterov` -lr (g + momentum b).

    Args:
        params: see `Optimizer`.
        lr: learning rate.
        momentum: how much of the sum stays from step to step; below 1 for it to converge.
        dampening: how much of a gradient does not enter the sum.
        weight_decay: so many times θ is added to g: the gradient of weight_decay ‖θ‖² / 2.
        nesterov: look ahead along the sum.

    Source: I. Sutskever et al., "On the importance of initialization and momentum in deep
    learning" (2013), with the learning rate outside of b, as in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def check(self, options: Options) -> None:
        """Nesterov's momentum is one, and is not dampened."""
        if options["nesterov"] and (not options["momentum"] or options["dampening"]):
            raise InputError(
                "SGD: nesterov=True expected momentum > 0 and dampening 0, got momentum "
                f"{options['momentum']} and dampening {options['dampening']}"
            )

    def buffers(self, options: Options) -> tuple[str, ...]:
        """The running sum."""
        return ("momentum_buffer",) if options["momentum"] else ()

    def update(self, p: Array, g: Array, state: State, options: Options) -> None:
        """One step, in place; see `Optimizer.update`."""
        momentum = options["momentum"]
        if options["weight_decay"]:
            g = g + options["weight_decay"] * p
        if momentum:
            total = state["momentum_buffer"]
            total *= momentum
            total += g if state["step"] == 1 else (1 - options["dampening"]) * g
            g = g + momentum * total if options["nesterov"] else total
        p -= float(options["lr"]) * g


class RMSprop(Optimizer):
    """Divide the gradient by a running root of its mean square: every element at its own scale.

    v ← alpha v + (1 - alpha) g² and θ ← θ - lr g / (√v + eps); `centered` takes √(v - a²), where a
    is the running mean of g; with momentum, b ← momentum b + g / (√v + eps), and the step is -lr b.

    Args:
        params: see `Optimizer`.
        lr: learning rate.
        alpha: how much of the mean square stays from step to step.
        eps: keeps the divisor off zero; outside of the root.
        weight_decay: so many times θ is added to g.
        momentum: how much of the sum of steps stays.
        centered: subtract the square of the mean.

    Source: G. Hinton, "Neural Networks for Machine Learning", lecture 6e (2012); `centered`:
    A. Graves, "Generating Sequences With Recurrent Neural Networks" (2013), eqs. 38-41.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    def buffers(self, options: Options) -> tuple[str, ...]:
        """The mean square, and where they are asked for the mean and the sum of steps."""
        mean = ("grad_avg",) if options["centered"] else ()
        return "square_avg", *mean, *(("momentum_buffer",) if options["momentum"] else ())

    def update(self, p: Array, g: Array, state: State, options: Options) -> None:
        """One step, in place; see `Optimizer.update`."""
        alpha, square = options["alpha"], state["square_avg"]
        if options["weight_decay"]:
            g = g + options["weight_decay"] * p
        square *= alpha
        square += (1 - alpha) * (g * g)
        if options["centered"]:
            mean = state["grad_avg"]
            mean *= alpha
            mean += (1 - alpha) * g
            square = np.maximum(square - mean * mean, 0)  # which rounding can make negative
        step = np.sqrt(square)
        step += options["eps"]
        step = g / step
        if options["momentum"]:
            total = state["momentum_buffer"]
            total *= options["momentum"]
            total += step
            step = total
        p -= float(options["lr"]) * step


class Adam(Optimizer):
    """Running means of the gradient and of its square, both corrected for their start at zero.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², and in step t
    θ ← θ - lr m̂ / (√v̂ + eps) with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Args:
        params: see `Optimizer`.
        lr: learning rate: about how far an element goes in one step.
        betas: how much of the two means stays from step to step.
        eps: keeps the divisor off zero; outside of the root.
        weight_decay: so many times θ is added to g, so that it is scaled as g is; for a decay that
            is not, see `AdamW`.

    Source: D. Kingma & J. Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def check(self, options: Options) -> None:
        """There are two means."""
        if not isinstance(options["betas"], tuple) or len(options["betas"]) != 2:
            raise InputError(f"{self._name}: expected two betas, got {options['betas']}")

    def buffers(self, options: Options) -> tuple[str, ...]:
        """The two means."""
        return "exp_avg", "exp_avg_sq"

    def update(self, p: Array, g: Array, state: State, options: Options) -> None:
        """One step, in place; see `Optimizer.update`."""
        if options["weight_decay"]:
            g = g + options["weight_decay"] * p
        _adam_step(p, g, state, options)


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: θ ← θ (1 - lr weight_decay) before the step.

    Args:
        params: see `Optimizer`.
        lr: see `Adam`.
        betas: see `Adam`.
        eps: see `Adam`.
        weight_decay: which part of θ goes in one step, per unit of lr.

    Source: I. Loshchilov & F. Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2,
    with lr times weight_decay as in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def update(self, p: Array, g: Array, state: State, options: Options) -> None:
        """One step, in place; see `Optimizer.update`."""
        p *= 1 - float(options["lr"]) * options["weight_decay"]
        _adam_step(p, g, state, options)


def _adam_step(p: Array, g: Array, state: State, options: Options) -> None:
    mean, square, t = state["exp_avg"], state["exp_avg_sq"], state["step"]
    beta1, beta2 = options["betas"]
    mean *= beta1
    mean += (1 - beta1) * g
    square *= beta2
    square += (1 - beta2) * (g * g)
    # The corrections go into numbers, not arrays: as many passes over memory fewer.
    divisor = np.sqrt(square)
    divisor /= math.sqrt(1 - beta2**t)
    divisor += options["eps"]
    step = mean / divisor
    step *= float(options["lr"]) / (1 - beta1**t)
    p -= step

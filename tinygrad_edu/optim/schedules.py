"""The learning rate as a function of the step, and what sets it in an optimiser.

A schedule is a plain function `(t, base) -> rate`: `t` counts from 0, `base` is the rate that the
optimiser began with. Write one, or put these together: `warmup(500, then=cosine(10_000))`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.optim.optimizer import Optimizer

Schedule = Callable[[int, float], float]


def constant() -> Schedule:
    """Always the base rate."""
    return lambda t, base: base


def step_decay(step_size: int, gamma: float = 0.1) -> Schedule:
    """Times `gamma` after every `step_size` steps."""
    _check_count("step_decay", "step_size", step_size)
    _check_number("step_decay", "gamma", gamma)
    return lambda t, base: base * gamma ** (t // step_size)


def cosine(T_max: int, eta_min: float = 0.0) -> Schedule:
    """Half a cosine, from the base rate down to `eta_min` at step `T_max`, where it stays.

    (PyTorch's goes up again after `T_max`.)

    Source: I. Loshchilov & F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
    (2017), eq. 5, without restarts.
    """
    _check_count("cosine", "T_max", T_max)
    _check_number("cosine", "eta_min", eta_min)

    def rate(t: int, base: float) -> float:
        return eta_min + (base - eta_min) * (1 + math.cos(math.pi * min(t, T_max) / T_max)) / 2

    return rate


def warmup(steps: int, then: Schedule | None = None, start_factor: float = 1 / 3) -> Schedule:
    """A line of `steps` steps from `start_factor` times the base rate up to it; then another one.

    Args:
        steps: after so many it is over.
        then: the schedule that follows, counted from there; by default the base rate.
        start_factor: where the line begins.
    """
    _check_count("warmup", "steps", steps)
    _check_number("warmup", "start_factor", start_factor)
    after = then or constant()

    def rate(t: int, base: float) -> float:
        if t >= steps:
            return after(t - steps, base)
        return base * (start_factor + (1 - start_factor) * t / steps)

    return rate


class LRScheduler:
    """Sets the learning rate of an optimiser from a schedule; call `step()` after the optimiser's.

    Every group has its own base rate, the `lr` it has when the scheduler is made.

    Args:
        optimizer: whose `lr` to set, from now on.
        schedule: (t, base) -> rate.

    Attributes:
        t: how many steps it has made.
        base_lrs: one per group.

    Raises:
        InputError: if `optimizer` is none, or the first rate is not finite or below 0.
        DtypeError: if `schedule` is no function.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        if not isinstance(optimizer, Optimizer):
            raise InputError(
                f"{type(self).__name__}: expected an optimiser, got {type(optimizer).__name__}"
            )
        if not callable(schedule):
            raise DtypeError(
                f"{type(self).__name__}: expected for schedule a function (t, base) -> rate, got "
                f"{schedule!r:.60}"
            )
        self.optimizer, self.schedule = optimizer, schedule
        self._set(0, [])

    def _set(self, t: int, base_lrs: list[float]) -> None:
        """Set the rates of step t, and what they come from; nothing if one is no rate."""
        groups = self.optimizer.param_groups
        bases = base_lrs + [group["lr"] for group in groups[len(base_lrs) :]]  # added since
        rates = [float(self.schedule(t, base)) for base in bases]
        for rate, base in zip(rates, bases, strict=True):
            if not 0 <= rate < math.inf:
                raise InputError(
                    f"{type(self).__name__}: expected a finite rate from 0 up at step {t}, got "
                    f"{rate} for the base rate {base}"
                )
        self.t, self.base_lrs = t, bases
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate

    def step(self) -> None:
        """Go on to the next rate.

        Raises:
            InputError: if the schedule gives none that is finite and not negative.
        """
        self._set(self.t + 1, self.base_lrs)

    def get_last_lr(self) -> list[float]:
        """The rate of every group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """How far it is, and from which rates; not the schedule itself."""
        return {"t": self.t, "base_lrs": [*self.base_lrs]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, and set the rates.

        Raises:
            InputError: if it is of another number of groups, or no such state.
        """
        who = f"{type(self).__name__}.load_state_dict"
        try:
            t, base_lrs = operator.index(state_dict["t"]), [*map(float, state_dict["base_lrs"])]
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{who}: expected {{'t': ..., 'base_lrs': ...}}, got {state_dict!r:.80}"
            ) from None
        if t < 0:
            raise InputError(f"{who}: expected t from 0 up, got {t}")
        if len(base_lrs) != len(self.base_lrs):
            raise InputError(
                f"{who}: expected rates of {len(self.base_lrs)} groups, got {len(base_lrs)}"
            )
        self._set(t, base_lrs)


class StepLR(LRScheduler):
    """Times `gamma` after every `step_size` steps; see `step_decay`."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer, step_decay(step_size, gamma))


class CosineAnnealingLR(LRScheduler):
    """Half a cosine down to `eta_min` at step `T_max`; see `cosine`."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer, cosine(T_max, eta_min))


class LinearWarmup(LRScheduler):
    """A line up to the base rate, then another schedule; see `warmup`."""

    def __init__(
        self,
        optimizer: Optimizer,
        steps: int,
        then: Schedule | None = None,
        start_factor: float = 1 / 3,
    ) -> None:
        super().__init__(optimizer, warmup(steps, then, start_factor))


def _check_count(function: str, argument: str, count: Any) -> None:
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise InputError(f"{function}: expected {argument} to be 1 step or more, got {count!r}")


def _check_number(function: str, argument: str, value: Any) -> None:
    if not isinstance(value, Real):
        raise DtypeError(f"{function}: expected a number for {argument}, got {value!r:.60}")

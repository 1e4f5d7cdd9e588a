"""Functions of arrays of one shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

import tinygrad_edu as tg
from benchmarks.hand_ops.base import Case, Draw, logistic, shares
from benchmarks.hand_ops.special import SPECIAL
from benchmarks.workloads import Array
from tinygrad_edu.domain import Domain
from tinygrad_edu.op import REGISTRY


def cases(n: int) -> list[Case]:
    """Functions of arrays of one shape, drawn from the domains that their rules name."""

    def drawn(domain: Domain) -> Draw:
        low = max(domain.low, min(-2.0, domain.high - 2))
        high = min(domain.high, max(2.0, domain.low + 2))
        margin = (high - low) / 50
        return Draw((n, n), low + margin, high - margin)

    return [
        Case(f, hand, tuple(drawn(rule.domain) for rule in REGISTRY[f].rules if rule))
        for f, hand in (ELEMENTWISE | SPECIAL).items()
        if f in REGISTRY
    ]


def _chosen(g: Array, first: Array, ties: Array) -> tuple[Array, Array]:
    """All of `g` to the first or to the second, half to each at a tie."""
    return shares(g, first + 0.5 * ties)


def _over(g: Array, out: Array, x: Array, y: Array) -> tuple[Array, Array]:
    share = g / y
    return share, -share * out


def _flat(g: Array, out: Array, *inputs: Array) -> Any:
    zeros = tuple(np.zeros_like(g) for _ in inputs)
    return zeros if len(zeros) > 1 else zeros[0]


def _copied(g: Array, out: Array, x: Array) -> Array:
    return g.copy()


def _silu(g: Array, out: Array, x: Array) -> Array:
    s = logistic(x)
    return g * (s + out * (1 - s))


def _sinc(g: Array, out: Array, x: Array) -> Array:
    away = np.where(x == 0, 1, x)
    return g * np.where(x == 0, 0, (np.cos(np.pi * x) - out) / away)


_LN2, _LN10, _DEGREES = math.log(2), math.log(10), 180 / math.pi

ELEMENTWISE: dict[Any, Callable[..., Any]] = {
    tg.safe_multiply: lambda g, out, x, y: (g * y, g * x),
    np.add: lambda g, out, x, y: (g.copy(), g.copy()),
    np.subtract: lambda g, out, x, y: (g.copy(), -g),
    np.multiply: lambda g, out, x, y: (g * y, g * x),
    np.divide: _over,
    np.negative: lambda g, out, x: -g,
    np.positive: lambda g, out, x: g.copy(),
    np.absolute: lambda g, out, x: g * np.sign(x),
    np.fabs: lambda g, out, x: g * np.sign(x),
    np.reciprocal: lambda g, out, x: -g * out * out,
    np.square: lambda g, out, x: 2 * g * x,
    np.sqrt: lambda g, out, x: 0.5 * g / out,
    np.cbrt: lambda g, out, x: g / (3 * out * out),
    np.power: lambda g, out, x, y: (g * y * x ** (y - 1), g * out * np.log(x)),
    np.float_power: lambda g, out, x, y: (g * y * x ** (y - 1), g * out * np.log(x)),
    np.remainder: lambda g, out, x, y: (g.copy(), -g * np.floor(x / y)),
    np.fmod: lambda g, out, x, y: (g.copy(), -g * np.trunc(x / y)),
    np.copysign: lambda g, out, x, y: (g * np.sign(x * out), np.zeros_like(g)),
    np.divmod: lambda g, out, x, y: (g[1].copy(), -g[1] * out[0]),
    np.modf: lambda g, out, x: g[0].copy(),
    tg.rsqrt: lambda g, out, x: -0.5 * g * out * out * out,
    np.exp: lambda g, out, x: g * out,
    np.exp2: lambda g, out, x: _LN2 * g * out,
    np.expm1: lambda g, out, x: g * (out + 1),
    np.log: lambda g, out, x: g / x,
    np.log2: lambda g, out, x: g / (_LN2 * x),
    np.log10: lambda g, out, x: g / (_LN10 * x),
    np.log1p: lambda g, out, x: g / (1 + x),
    np.logaddexp: lambda g, out, x, y: shares(g, np.exp(x - out)),
    np.logaddexp2: lambda g, out, x, y: shares(g, np.exp2(x - out)),
    np.sin: lambda g, out, x: g * np.cos(x),
    np.cos: lambda g, out, x: -g * np.sin(x),
    np.tan: lambda g, out, x: g * (1 + out * out),
    np.arcsin: lambda g, out, x: g / np.sqrt(1 - x * x),
    np.arccos: lambda g, out, x: -g / np.sqrt(1 - x * x),
    np.arctan: lambda g, out, x: g / (1 + x * x),
    np.arctan2: lambda g, out, y, x: ((q := g / (x * x + y * y)) * x, -q * y),
    np.hypot: lambda g, out, x, y: ((q := g / out) * x, q * y),
    tg.sec: lambda g, out, x: g * out * np.tan(x),
    tg.csc: lambda g, out, x: -g * out / np.tan(x),
    tg.cot: lambda g, out, x: -g * (1 + out * out),
    tg.sech: lambda g, out, x: -g * out * np.tanh(x),
    tg.csch: lambda g, out, x: -g * out / np.tanh(x),
    tg.coth: lambda g, out, x: g * (1 - out * out),
    tg.arccot: lambda g, out, x: -g / (1 + x * x),
    np.sinh: lambda g, out, x: g * np.cosh(x),
    np.cosh: lambda g, out, x: g * np.sinh(x),
    np.tanh: lambda g, out, x: g * (1 - out * out),
    np.arcsinh: lambda g, out, x: g / np.sqrt(1 + x * x),
    np.arccosh: lambda g, out, x: g / np.sqrt(x * x - 1),
    np.arctanh: lambda g, out, x: g / (1 - x * x),
    np.sinc: _sinc,
    np.rad2deg: lambda g, out, x: g * _DEGREES,
    np.degrees: lambda g, out, x: g * _DEGREES,
    np.deg2rad: lambda g, out, x: g / _DEGREES,
    np.radians: lambda g, out, x: g / _DEGREES,
    np.maximum: lambda g, out, x, y: _chosen(g, x > y, x == y),
    np.minimum: lambda g, out, x, y: _chosen(g, x < y, x == y),
    np.fmax: lambda g, out, x, y: _chosen(g, (x > y) | np.isnan(y), x == y),
    np.fmin: lambda g, out, x, y: _chosen(g, (x < y) | np.isnan(y), x == y),
    np.nan_to_num: lambda g, out, x: g * np.isfinite(x),
    np.floor: _flat,
    np.ceil: _flat,
    np.trunc: _flat,
    np.rint: _flat,
    np.sign: _flat,
    np.round: _flat,
    np.around: _flat,
    np.floor_divide: _flat,
    np.fix: _flat,
    np.real: _copied,
    np.imag: _flat,
    np.conjugate: _copied,
    np.real_if_close: _copied,
    np.angle: _flat,
    np.unwrap: _copied,
    np.heaviside: lambda g, out, x, y: (np.zeros_like(g), g * (x == 0)),
    tg.relu: lambda g, out, x: g * (x > 0),
    tg.sigmoid: lambda g, out, x: g * out * (1 - out),
    tg.softplus: lambda g, out, x: g * logistic(x),
    tg.log_sigmoid: lambda g, out, x: g * logistic(-x),
    tg.silu: _silu,
    tg.softsign: lambda g, out, x: g / (1 + abs(x)) ** 2,
    tg.squareplus: lambda g, out, x: 0.5 * g * (1 + x / np.sqrt(x * x + 4)),
    tg.hardtanh: lambda g, out, x: g * ((x > -1) & (x < 1)),
    tg.hardsigmoid: lambda g, out, x: g / 6 * ((x > -3) & (x < 3)),
    tg.leaky_relu: lambda g, out, x: g * (0.01 + 0.99 * (x > 0)),
    tg.elu: lambda g, out, x: np.where(x > 0, g, g * (out + 1)),
    tg.erf: lambda g, out, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x),
    tg.gelu: lambda g, out, x: g * (special.ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(math.tau)),
}

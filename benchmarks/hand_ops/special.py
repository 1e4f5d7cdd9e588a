"""Special functions, most of them SciPy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

import tinygrad_edu as tg
from benchmarks.hand_ops.base import Case, N, P, call, logistic
from benchmarks.workloads import Array

special.erf(tg.Tensor(0.0))  # those of SciPy are registered when a Tensor first meets one

_HALF_ROOT_PI = math.sqrt(math.pi) / 2


def _beta(g: Array, out: Array, a: Array, b: Array) -> Any:
    share, both = g * out, special.psi(a + b)
    return share * (special.psi(a) - both), share * (special.psi(b) - both)


def _betaln(g: Array, out: Array, a: Array, b: Array) -> Any:
    both = special.psi(a + b)
    return g * (special.psi(a) - both), g * (special.psi(b) - both)


def _pseudo_huber(g: Array, out: Array, delta: Array, r: Array) -> Any:
    u = (r / delta) ** 2
    root = np.sqrt(1 + u)
    return g * delta * u * u / (root * (1 + root) ** 2), g * r / root


SPECIAL: dict[Any, Callable[..., Any]] = {
    tg.xlogy: lambda g, out, x, y: (g * np.log(y), g * x / y),
    tg.erfinv: lambda g, out, x: g * _HALF_ROOT_PI * np.exp(out * out),
    np.i0: lambda g, out, x: g * special.i1(x),
    special.erf: lambda g, out, x: g / _HALF_ROOT_PI * np.exp(-x * x),
    special.erfc: lambda g, out, x: -g / _HALF_ROOT_PI * np.exp(-x * x),
    special.erfcx: lambda g, out, x: g * (2 * x * out - 1 / _HALF_ROOT_PI),
    special.erfi: lambda g, out, x: g / _HALF_ROOT_PI * np.exp(x * x),
    special.erfinv: lambda g, out, x: g * _HALF_ROOT_PI * np.exp(out * out),
    special.erfcinv: lambda g, out, x: -g * _HALF_ROOT_PI * np.exp(out * out),
    special.dawsn: lambda g, out, x: g * (1 - 2 * x * out),
    special.ndtr: lambda g, out, x: g / math.sqrt(math.tau) * np.exp(-x * x / 2),
    special.ndtri: lambda g, out, x: g * math.sqrt(math.tau) * np.exp(out * out / 2),
    special.log_ndtr: lambda g, out, x: g / math.sqrt(math.tau) * np.exp(-x * x / 2 - out),
    special.expit: lambda g, out, x: g * out * (1 - out),
    special.log_expit: lambda g, out, x: g * logistic(-x),
    special.logit: lambda g, out, x: g / (x * (1 - x)),
    special.gamma: lambda g, out, x: g * out * special.psi(x),
    special.gammaln: lambda g, out, x: g * special.psi(x),
    special.loggamma: lambda g, out, x: g * special.psi(x),
    special.psi: lambda g, out, x: g * special.zeta(2.0, x),
    special.beta: _beta,
    special.betaln: _betaln,
    special.expi: lambda g, out, x: g * np.exp(x) / x,
    special.exp1: lambda g, out, x: -g * np.exp(-x) / x,
    special.i0: lambda g, out, x: g * special.i1(x),
    special.i0e: lambda g, out, x: g * (special.i1e(x) - np.sign(x) * out),
    special.j0: lambda g, out, x: -g * special.j1(x),
    special.y0: lambda g, out, x: -g * special.y1(x),
    special.y1: lambda g, out, x: g * (special.y0(x) - out / x),
    special.k0: lambda g, out, x: -g * special.k1(x),
    special.k1: lambda g, out, x: -g * (special.k0(x) + out / x),
    special.k0e: lambda g, out, x: g * (out - special.k1e(x)),
    special.k1e: lambda g, out, x: g * (out - special.k0e(x) - out / x),
    special.expm1: lambda g, out, x: g * (out + 1),
    special.exp2: lambda g, out, x: math.log(2) * g * out,
    special.exp10: lambda g, out, x: math.log(10) * g * out,
    special.log1p: lambda g, out, x: g / (1 + x),
    special.cbrt: lambda g, out, x: g / (3 * out * out),
    special.cosm1: lambda g, out, x: -g * np.sin(x),
    special.exprel: lambda g, out, x: g * (np.exp(x) - out) / x,
    special.xlogy: lambda g, out, x, y: (g * np.log(y), g * x / y),
    special.xlog1py: lambda g, out, x, y: (g * np.log1p(y), g * x / (1 + y)),
    special.entr: lambda g, out, x: -g * (np.log(x) + 1),
    special.rel_entr: lambda g, out, x, y: (g * (np.log(q := x / y) + 1), -g * q),
    special.kl_div: lambda g, out, x, y: (g * np.log(q := x / y), g - g * q),
    special.huber: lambda g, out, d, r: (g * np.maximum(abs(r) - d, 0), g * np.clip(r, -d, d)),
    special.pseudo_huber: _pseudo_huber,
}


def cases(n: int) -> list[Case]:
    """Those with an argument that has no gradient."""
    M, U = N(n, n), P(n, n)
    gamma = math.gamma(2.5)
    beta = special.beta(2.5, 1.5)
    exponents = np.arange(n * n).reshape(n, n) % 7
    return [
        call(np.ldexp, lambda g, out, x, k: np.ldexp(g, k), M, exponents),
        call(tg.polygamma, lambda g, out, k, x: -2 * g * special.zeta(3.0, x), 1, U),
        call(tg.zeta, lambda g, out, s, x: -2.5 * g * special.zeta(3.5, x), 2.5, U),
        call(special.gammainc, lambda g, out, a, x: g * x**1.5 * np.exp(-x) / gamma, 2.5, U),
        call(special.gammaincc, lambda g, out, a, x: -g * x**1.5 * np.exp(-x) / gamma, 2.5, U),
        call(special.betainc, lambda g, out, a, b, x: g / beta * x**1.5 * np.sqrt(1 - x),
             2.5, 1.5, U),
        call(special.betaincc, lambda g, out, a, b, x: -g / beta * x**1.5 * np.sqrt(1 - x),
             2.5, 1.5, U),
        call(special.boxcox, lambda g, out, x, p: g * x**1.5, U, 2.5),
        call(special.boxcox1p, lambda g, out, x, p: g * (1 + x) ** 1.5, U, 2.5),
        call(special.inv_boxcox, lambda g, out, y, p: g * out**-1.5, U, 2.5),
        call(special.inv_boxcox1p, lambda g, out, y, p: g * (1 + out) ** -1.5, U, 2.5),
    ]  # fmt: skip

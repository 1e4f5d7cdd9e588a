"""HIPS/autograd, with the forms that were its fastest."""

from __future__ import annotations

from typing import Any

import autograd.numpy as np
from autograd import grad
from autograd.core import make_vjp
from autograd.scipy.special import expit, logsumexp

from benchmarks.workloads import Array, Engine, Run


def _mse(y: Any, target: Array) -> Any:
    error = y - target
    return np.mean(error * error)


def _cross_entropy(logits: Any, labels: Array) -> Any:
    one_hot = labels[:, None] == np.arange(logits.shape[1])
    return np.mean(logsumexp(logits, axis=1) - np.sum(logits * one_hot, axis=1))


def _conv(x: Any, K: Any, b: Any, padding: int) -> Any:
    """As a product of matrices, which is faster than autograd.scipy.signal.convolve."""
    pad = (padding, padding)
    x = np.pad(x, ((0, 0), (0, 0), pad, pad), "constant")
    _, _, height, width = x.shape
    out, into, rows, columns = K.shape
    windows = [
        x[:, :, i : height - rows + 1 + i, j : width - columns + 1 + j]
        for i in range(rows)
        for j in range(columns)
    ]
    weights = np.reshape(np.transpose(K, (0, 2, 3, 1)), (out, rows * columns * into))
    y = np.tensordot(np.concatenate(windows, axis=1), weights, axes=([1], [1]))
    return np.transpose(y + b, (0, 3, 1, 2))


def _max_pool(x: Any) -> Any:
    n, channels, height, width = x.shape
    return np.max(np.reshape(x, (n, channels, height // 2, 2, width // 2, 2)), axis=(3, 5))


def _train(loss: Any, start: Any, rate: float) -> Run:
    parameters = [p.copy() for p in start]
    gradient = grad(loss)

    def step() -> None:
        for p, g in zip(parameters, gradient(parameters), strict=True):
            p -= rate * g

    return Run(step, lambda: parameters)


def _hessian_vector(loss: Any, start: Any, direction: Any) -> Run:
    parameters, along = list(start), list(direction)
    gradient = grad(loss)
    product: list[Array] = []

    def step() -> None:
        pull, _ = make_vjp(gradient, parameters)
        product[:] = pull(along)

    return Run(step, lambda: product)


VARIANTS = [
    Engine(
        "autograd",
        constant=lambda a: a,
        linear=lambda x, W, b: np.dot(x, W) + b,
        sigmoid=expit,
        relu=lambda x: np.maximum(x, 0),
        tanh=np.tanh,
        silu=lambda x: x * expit(x),
        mse=_mse,
        cross_entropy=_cross_entropy,
        logistic=lambda z, y: np.mean(np.logaddexp(0, z) - z * y),
        parts=lambda x, n: np.split(x, n, axis=-1),
        lookup=lambda W, index: W[index],
        conv=_conv,
        max_pool=_max_pool,
        train=_train,
        hessian_vector=_hessian_vector,
    )
]

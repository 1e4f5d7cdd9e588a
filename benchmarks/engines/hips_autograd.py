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
        mse=_mse,
        cross_entropy=_cross_entropy,
        train=_train,
        hessian_vector=_hessian_vector,
    )
]

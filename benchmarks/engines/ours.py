"""Our engine: with its native ops, and from primitive ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import tinygrad_edu as tg
from benchmarks.workloads import Engine, Run


def _train(loss: Any, start: Any, rate: float) -> Run:
    parameters = [tg.Tensor(p, requires_grad=True) for p in start]

    def step() -> None:
        loss(parameters).backward()
        for p in parameters:
            p.data -= rate * p.grad
            p.grad = None

    return Run(step, lambda: [p.data for p in parameters])


def _hessian_vector(loss: Any, start: Any, direction: Any) -> Run:
    parameters = [tg.Tensor(p, requires_grad=True) for p in start]
    product: list[tg.Tensor] = []

    def step() -> None:
        gradients = tg.gradients(loss(parameters), parameters, create_graph=True)
        product[:] = tg.gradients(gradients, parameters, g=direction)

    return Run(step, lambda: [p.data for p in product])


_NATIVE = Engine(
    "ours",
    constant=tg.Tensor,
    linear=tg.linear,
    sigmoid=tg.sigmoid,
    relu=tg.relu,
    tanh=np.tanh,
    silu=tg.silu,
    mse=tg.mse_loss,
    cross_entropy=tg.cross_entropy,
    logistic=tg.binary_cross_entropy_with_logits,
    parts=lambda x, n: np.split(x, n, axis=-1),
    lookup=tg.embedding,
    conv=lambda x, K, b, padding: tg.conv2d(x, K, b, padding=padding),
    max_pool=lambda x: tg.max_pool2d(x, 2),
    train=_train,
    hessian_vector=_hessian_vector,
)
_PRIMITIVES = replace(
    _NATIVE,
    name="ours, primitives",
    linear=lambda x, W, b: x @ W + b,
    mse=lambda y, target: np.mean((y - target) ** 2),
)
VARIANTS = [_NATIVE, _PRIMITIVES]

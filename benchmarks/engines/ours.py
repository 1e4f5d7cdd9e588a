"""Our engine: with its native ops, and from primitive ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import tinygrad_edu as tg
from benchmarks.workloads import Engine, Run
from tinygrad_edu import optim
from tinygrad_edu.nn import recurrent as nn


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


def _train_layer(loss: Any, start: Any, rate: float) -> Run:
    """An nn.LSTM, which stands for its parameters in the loss; its second bias stays zero."""
    if [p.ndim for p in start] != [2, 2, 1]:  # no LSTM: there is no layer in it
        return _train(loss, start, rate)
    W_x, W_h, b = start
    layer = nn.LSTM(*W_x.shape[:1], *W_h.shape[:1], rng=np.random.default_rng(0), dtype=b.dtype)
    parameters = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0]
    for p, values in zip(parameters, (W_x.T, W_h.T, b), strict=True):
        p.data = np.ascontiguousarray(values)
    layer.bias_hh_l0.data = np.zeros_like(b)
    layer.bias_hh_l0.requires_grad = False

    def step() -> None:
        loss([layer, None, None]).backward()
        for p in parameters:
            p.data -= rate * p.grad
            p.grad = None

    return Run(step, lambda: [p.data.T for p in parameters])


def _adam(start: Any, gradients: Any, rate: float) -> Run:
    parameters = [tg.Tensor(p, requires_grad=True) for p in start]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g
    return Run(optim.Adam(parameters, rate).step, lambda: [p.data for p in parameters])


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
    lookup=lambda W, index: tg.embedding(W, index, sparse=True),
    conv=lambda x, K, b, padding: tg.conv2d(x, K, b, padding=padding),
    max_pool=lambda x: tg.max_pool2d(x, 2),
    train=_train,
    hessian_vector=_hessian_vector,
    adam=_adam,
)
_PRIMITIVES = replace(
    _NATIVE,
    name="ours, primitives",
    linear=lambda x, W, b: x @ W + b,
    mse=lambda y, target: np.mean((y - target) ** 2),
)
_LAYER = replace(
    _NATIVE,
    name="ours, nn.LSTM",
    train=_train_layer,
    lstm=lambda x, layer, *_: layer(x)[0][-1],
)
VARIANTS = [_NATIVE, _PRIMITIVES, _LAYER]

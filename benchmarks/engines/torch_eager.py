"""PyTorch, eager, two threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional

from benchmarks.workloads import Engine, Run

torch.set_num_threads(2)


def _train(loss: Any, start: Any, rate: float) -> Run:
    parameters = [torch.tensor(p, requires_grad=True) for p in start]

    def step() -> None:
        loss(parameters).backward()
        with torch.no_grad():
            for p in parameters:
                p.sub_(p.grad, alpha=rate)
                p.grad = None

    return Run(step, lambda: [p.detach().numpy() for p in parameters])


def _hessian_vector(loss: Any, start: Any, direction: Any) -> Run:
    parameters = [torch.tensor(p, requires_grad=True) for p in start]
    along = [torch.tensor(v) for v in direction]
    product: list[torch.Tensor] = []

    def step() -> None:
        gradients = torch.autograd.grad(loss(parameters), parameters, create_graph=True)
        product[:] = torch.autograd.grad(gradients, parameters, along, materialize_grads=True)

    return Run(step, lambda: [p.numpy() for p in product])


def _adam(start: Any, gradients: Any, rate: float) -> Run:
    parameters = [torch.tensor(p, requires_grad=True) for p in start]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = torch.tensor(g)
    step = torch.optim.Adam(parameters, rate).step
    return Run(step, lambda: [p.detach().numpy() for p in parameters])


def _lstm(x: torch.Tensor, W_x: torch.Tensor, W_h: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """What nn.LSTM calls; it has a second bias."""
    start = torch.zeros(1, x.shape[1], len(W_h))
    weights = [W_x.T, W_h.T, b, torch.zeros_like(b)]
    return torch.lstm(x, (start, start), weights, True, 1, 0.0, True, False, False)[0][-1]


_EAGER = Engine(
    "torch eager",
    constant=torch.tensor,
    # On tiny nets a tenth faster than nn.functional.linear, which transposes W.
    linear=lambda x, W, b: torch.addmm(b, x, W),
    sigmoid=torch.sigmoid,
    relu=torch.relu,
    tanh=torch.tanh,
    silu=functional.silu,
    mse=functional.mse_loss,
    cross_entropy=functional.cross_entropy,
    logistic=functional.binary_cross_entropy_with_logits,
    parts=lambda x, n: x.chunk(n, dim=-1),
    lookup=lambda W, index: functional.embedding(index, W, sparse=True),
    conv=lambda x, K, b, padding: functional.conv2d(x, K, b, padding=padding),
    max_pool=lambda x: functional.max_pool2d(x, 2),
    train=_train,
    hessian_vector=_hessian_vector,
    adam=_adam,
)
VARIANTS = [_EAGER, replace(_EAGER, name="torch nn.LSTM", lstm=_lstm)]

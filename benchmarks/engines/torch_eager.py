"""PyTorch, eager, two threads."""

from __future__ import annotations

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


VARIANTS = [
    Engine(
        "torch eager",
        constant=torch.tensor,
        # On tiny nets a tenth faster than nn.functional.linear, which transposes W.
        linear=lambda x, W, b: torch.addmm(b, x, W),
        sigmoid=torch.sigmoid,
        relu=torch.relu,
        tanh=torch.tanh,
        mse=functional.mse_loss,
        cross_entropy=functional.cross_entropy,
        train=_train,
        hessian_vector=_hessian_vector,
    )
]

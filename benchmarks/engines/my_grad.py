"""MyGrad, with its memory guard off, as it is fastest; it has no second derivatives."""

from __future__ import annotations

import sys
from typing import Any

import mygrad as mg
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.layers import conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

from benchmarks.workloads import Engine, Run

mg.turn_memory_guarding_off()
sys.setrecursionlimit(10_000_000)  # its walk over the graph is recursive


def _parts(x: Any, n: int) -> Any:
    size = x.shape[-1] // n
    return [x[..., i * size : (i + 1) * size] for i in range(n)]


def _conv(x: Any, K: Any, b: Any, padding: int) -> Any:
    return conv_nd(x, K, stride=1, padding=padding) + b.reshape(-1, 1, 1)


def _train(loss: Any, start: Any, rate: float) -> Run:
    parameters = [mg.tensor(p) for p in start]

    def step() -> None:
        loss(parameters).backward()
        for p in parameters:
            p.data -= rate * p.grad
            p.null_grad()

    return Run(step, lambda: [p.data for p in parameters])


VARIANTS = [
    Engine(
        "MyGrad",
        constant=lambda a: a,
        linear=lambda x, W, b: x @ W + b,
        sigmoid=sigmoid,
        relu=relu,
        tanh=mg.tanh,
        silu=lambda x: x * sigmoid(x),
        mse=lambda y, target: mg.mean((y - target) ** 2),
        cross_entropy=softmax_crossentropy,
        logistic=lambda z, y: mg.mean(mg.logaddexp(0.0, z) - z * y),
        parts=_parts,
        lookup=lambda W, index: W[index],
        conv=_conv,
        max_pool=lambda x: max_pool(x, (2, 2), 2),
        train=_train,
    )
]

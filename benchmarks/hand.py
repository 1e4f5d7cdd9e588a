"""Hand-written NumPy in the order an eager engine would use: the practical limit for eager."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import SCALE, SHIFT, Array, Run, Task, Workload

NAME = "hand"


def set_up(workload: Workload) -> Run:
    """Make a workload ready to run: the function here that is named like its loss."""
    functions = {f.__name__: f for f in (sigmoid_net, relu_net, chain, tanh_net)}
    return functions[workload.loss.__name__](workload.task())


def sigmoid_net(task: Task) -> Run:
    """One hidden layer, sigmoid twice, mean squared error."""
    x, target = task.x, task.target
    parameters = W1, b1, W2, b2 = [p.copy() for p in task.parameters]

    def step() -> float:
        h = 1 / (1 + np.exp(-(x @ W1 + b1)))
        y = 1 / (1 + np.exp(-(h @ W2 + b2)))
        error = y - target
        loss = (error * error).mean()

        g_z2 = error * (2 / error.size) * y * (1 - y)
        g_W2, g_b2 = h.T @ g_z2, g_z2.sum(axis=0)
        g_z1 = (g_z2 @ W2.T) * h * (1 - h)
        g_W1, g_b1 = x.T @ g_z1, g_z1.sum(axis=0)
        _descend(parameters, [g_W1, g_b1, g_W2, g_b2], task.rate)
        return float(loss)

    return Run(step, lambda: parameters)


def relu_net(task: Task) -> Run:
    """One hidden layer, ReLU, softmax cross-entropy with integer labels."""
    x, labels = task.x, task.target
    parameters = W1, b1, W2, b2 = [p.copy() for p in task.parameters]
    rows = np.arange(len(x))

    def step() -> float:
        z = x @ W1
        z += b1
        h = np.maximum(z, 0)
        logits = h @ W2
        logits += b2
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - logits[rows, labels]).mean()

        p /= total
        p[rows, labels] -= 1
        p /= len(x)
        g_W2, g_b2 = h.T @ p, p.sum(axis=0)
        g_z = p @ W2.T
        g_z *= z > 0
        g_W1, g_b1 = x.T @ g_z, g_z.sum(axis=0)
        _descend(parameters, [g_W1, g_b1, g_W2, g_b2], task.rate)
        return float(loss)

    return Run(step, lambda: parameters)


def chain(task: Task) -> Run:
    """Multiply, add, tanh, in turn; backward reads what each tanh made."""
    x = task.parameters[0].copy()

    def step() -> float:
        y, outs = x, []
        for _ in range(task.x // 3):
            y = np.tanh(y * SCALE + SHIFT)
            outs.append(y)
        loss = y.sum()

        g = np.ones_like(y)
        for out in reversed(outs):
            g = g * (1 - out * out)
            g = g * SCALE
        x[...] -= task.rate * g
        return float(loss)

    return Run(step, lambda: [x])


def tanh_net(task: Task) -> Run:
    """Take the derivative of a whole backward pass along the direction (Pearlmutter 1994).

    `d_` stands before the derivative of a value along the direction.
    """
    x, target = task.x, task.target
    W1, b1, W2, b2, W3, b3 = task.parameters
    d_W1, d_b1, d_W2, d_b2, d_W3, d_b3 = task.direction
    product: list[Array] = []

    def step() -> None:
        h1 = np.tanh(x @ W1 + b1)
        h2 = np.tanh(h1 @ W2 + b2)
        error = h2 @ W3 + b3 - target
        slope1, slope2 = 1 - h1 * h1, 1 - h2 * h2
        d_h1 = slope1 * (x @ d_W1 + d_b1)
        d_h2 = slope2 * (d_h1 @ W2 + h1 @ d_W2 + d_b2)
        d_error = d_h2 @ W3 + h2 @ d_W3 + d_b3

        g_y, d_g_y = error * (2 / error.size), d_error * (2 / error.size)
        g_h2, d_g_h2 = g_y @ W3.T, d_g_y @ W3.T + g_y @ d_W3.T
        g_z2, d_g_z2 = g_h2 * slope2, d_g_h2 * slope2 - 2 * g_h2 * h2 * d_h2
        g_h1, d_g_h1 = g_z2 @ W2.T, d_g_z2 @ W2.T + g_z2 @ d_W2.T
        d_g_z1 = d_g_h1 * slope1 - 2 * g_h1 * h1 * d_h1
        product[:] = (
            x.T @ d_g_z1,
            d_g_z1.sum(axis=0),
            d_h1.T @ g_z2 + h1.T @ d_g_z2,
            d_g_z2.sum(axis=0),
            d_h2.T @ g_y + h2.T @ d_g_y,
            d_g_y.sum(axis=0),
        )

    return Run(step, lambda: product)


def _descend(parameters: list[Array], gradients: list[Array], rate: float) -> None:
    for p, g in zip(parameters, gradients, strict=True):
        p -= rate * g

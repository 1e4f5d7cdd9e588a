"""Hand-written NumPy in the order an eager engine would use: the practical limit for eager."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.workloads import SCALE, SHIFT, Array, Run, Task, Workload

NAME = "hand"


def set_up(workload: Workload) -> Run:
    """Make a workload ready to run: the function here that is named like its loss."""
    run: Run = globals()[workload.loss.__name__](workload.task())
    return run


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
        p, loss = _softmax_loss(logits, rows, labels)

        g_W2, g_b2 = h.T @ p, p.sum(axis=0)
        g_z = p @ W2.T
        g_z *= z > 0
        g_W1, g_b1 = x.T @ g_z, g_z.sum(axis=0)
        _descend(parameters, [g_W1, g_b1, g_W2, g_b2], task.rate)
        return loss

    return Run(step, lambda: parameters)


def _softmax_loss(logits: Array, rows: Array, labels: Array) -> tuple[Array, float]:
    """The gradient of the logits, which are written into, and the mean cross-entropy."""
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    total = p.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - logits[rows, labels]).mean()
    p /= total
    p[rows, labels] -= 1
    p /= len(logits)
    return p, float(loss)


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


def lstm_net(task: Task) -> Run:
    """A long short-term memory, mean squared error of its last h; gates in the order i, f, g, o."""
    xs, target = task.x, task.target
    parameters = W_x, W_h, b = [p.copy() for p in task.parameters]
    n = target.shape[1]
    gates = [slice(k * n, (k + 1) * n) for k in range(4)]

    def sigmoid(z: Array) -> Array:
        y = np.exp(-z)
        y += 1
        return np.reciprocal(y, out=y)

    def step() -> float:
        h = c = np.zeros_like(target)
        saved = []
        for x in xs:
            z = x @ W_x
            z += h @ W_h
            z += b
            i, f, g, o = (z[:, gate] for gate in gates)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            before = h, c
            c = f * c
            c += i * g
            t = np.tanh(c)
            h = o * t
            saved.append((x, *before, i, f, g, o, t))
        error = h - target
        loss = (error * error).mean()

        g_W_x, g_W_h, g_b = (np.zeros_like(p) for p in parameters)
        g_h, g_c = error * (2 / error.size), np.zeros_like(target)
        for x, h, c, i, f, g, o, t in reversed(saved):
            g_z = np.empty((len(x), 4 * n), x.dtype)
            g_i, g_f, g_g, g_o = (g_z[:, gate] for gate in gates)
            g_o[...] = g_h * t * (o - o * o)
            g_c += g_h * o * (1 - t * t)
            g_i[...] = g_c * g * (i - i * i)
            g_f[...] = g_c * c * (f - f * f)
            g_g[...] = g_c * i * (1 - g * g)
            g_c *= f
            g_W_x += x.T @ g_z
            g_W_h += h.T @ g_z
            g_b += g_z.sum(axis=0)
            g_h = g_z @ W_h.T
        _descend(parameters, [g_W_x, g_W_h, g_b], task.rate)
        return float(loss)

    return Run(step, lambda: parameters)


def conv_net(task: Task) -> Run:
    """LeNet; a convolution is a product of the kernels with all windows as columns (im2col).

    Channels come first, then images: so one matrix product serves them all.
    """
    images, labels = task.x.swapaxes(0, 1), task.target
    parameters = K1, b1, K2, b2, W1, c1, W2, c2, W3, c3 = [p.copy() for p in task.parameters]
    rows = np.arange(len(labels))

    def step() -> float:
        y1, columns1 = _conv(images, K1, b1, padding=2)
        np.maximum(y1, 0, out=y1)
        h1 = _max_pool(y1)
        y2, columns2 = _conv(h1, K2, b2, padding=0)
        np.maximum(y2, 0, out=y2)
        h2 = _max_pool(y2)
        h3 = h2.swapaxes(0, 1).reshape(len(labels), -1)
        h4 = np.maximum(h3 @ W1 + c1, 0)
        h5 = np.maximum(h4 @ W2 + c2, 0)
        p, loss = _softmax_loss(h5 @ W3 + c3, rows, labels)

        g_W3, g_c3 = h5.T @ p, p.sum(axis=0)
        g_5 = (p @ W3.T) * (h5 > 0)
        g_W2, g_c2 = h4.T @ g_5, g_5.sum(axis=0)
        g_4 = (g_5 @ W2.T) * (h4 > 0)
        g_W1, g_c1 = h3.T @ g_4, g_4.sum(axis=0)
        g_h2 = (g_4 @ W1.T).reshape(h2.swapaxes(0, 1).shape).swapaxes(0, 1)
        g_2 = _max_pool_back(g_h2, y2, h2)
        g_2 *= y2 > 0
        g_K2, g_b2, g_h1 = conv_back(g_2, columns2, K2, h1.shape)
        g_1 = _max_pool_back(g_h1, y1, h1)
        g_1 *= y1 > 0
        g_K1, g_b1, _ = conv_back(g_1, columns1, K1, None)
        gradients = [g_K1, g_b1, g_K2, g_b2, g_W1, g_c1, g_W2, g_c2, g_W3, g_c3]
        _descend(parameters, gradients, task.rate)
        return loss

    return Run(step, lambda: parameters)


def _conv(x: Array, K: Array, b: Array, padding: int) -> tuple[Array, Array]:
    """The result, and the windows that made it."""
    if padding:
        pad = (padding, padding)
        x = np.pad(x, ((0, 0), (0, 0), pad, pad))
    _, n, height, width = x.shape
    columns = columns_of(x, K.shape[2:])
    y = K.reshape(len(K), -1) @ columns
    y += b[:, None]
    return y.reshape(len(K), n, height - K.shape[2] + 1, width - K.shape[3] + 1), columns


def columns_of(x: Array, kernel: tuple[int, ...]) -> Array:
    """All windows of images CNHW as columns: (C * kh * kw, N * h * w)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(len(x) * math.prod(kernel), -1)


def add_columns(columns: Array, shape: tuple[int, ...], kernel: tuple[int, ...]) -> Array:
    """Images of a shape in which all windows are added up."""
    channels, n, *size = shape
    height, width = (m - k + 1 for m, k in zip(size, kernel, strict=True))
    parts = columns.reshape(channels, *kernel, n, height, width)
    x = np.zeros(shape, columns.dtype)
    for i, j in np.ndindex(*kernel):
        x[:, :, i : i + height, j : j + width] += parts[:, i, j]
    return x


def conv_back(g: Array, columns: Array, K: Array, shape: tuple[int, ...] | None) -> Any:
    """Gradients of K, b and, unless `shape` is None, of the images of this shape."""
    g = g.reshape(len(K), -1)
    g_K, g_b = (g @ columns.T).reshape(K.shape), g.sum(axis=1)
    if shape is None:
        return g_K, g_b, None
    return g_K, g_b, add_columns(K.reshape(len(K), -1).T @ g, shape, K.shape[2:])


def _max_pool(x: Array) -> Array:
    """The largest of every 2 x 2 pixels; max over two axes takes fifty times as long."""
    rows = np.maximum(x[:, :, ::2], x[:, :, 1::2])
    y: Array = np.maximum(rows[..., ::2], rows[..., 1::2])
    return y


def _max_pool_back(g: Array, x: Array, y: Array) -> Array:
    # Pixels tie only where relu made them 0, and there the gradient ends anyway.
    g_x = np.empty_like(x)
    for i, j in np.ndindex(2, 2):
        g_x[:, :, i::2, j::2] = g * (x[:, :, i::2, j::2] == y)
    return g_x


def skip_gram(task: Task) -> Run:
    """Logistic loss of products of rows; the gradients of the tables are dense."""
    (centre, others), target = task.x, task.target
    parameters = W, C = [p.copy() for p in task.parameters]

    def step() -> float:
        word, context = W[centre], C[others]
        scores = (context @ word[:, :, None])[:, :, 0]
        loss = (np.logaddexp(0, scores) - scores * target).mean()

        g = (1 / (1 + np.exp(-scores)) - target) / target.size
        g_W = _add_rows(W, centre, (g[:, None, :] @ context)[:, 0])
        g_C = _add_rows(C, others, g[:, :, None] * word[:, None, :])
        _descend(parameters, [g_W, g_C], task.rate)
        return float(loss)

    return Run(step, lambda: parameters)


def _add_rows(W: Array, index: Array, rows: Array) -> Array:
    """Zeros like W with rows added in; np.add.at takes six times as long with rows."""
    table = np.zeros_like(W)
    elements = index.reshape(-1, 1) * W.shape[1] + np.arange(W.shape[1])
    np.add.at(table.reshape(-1), elements.reshape(-1), rows.reshape(-1))
    return table


def swiglu(task: Task) -> Run:
    """A gated layer, (silu(x W1) * (x W3)) W2, mean squared error."""
    x, target = task.x, task.target
    parameters = W1, W3, W2 = [p.copy() for p in task.parameters]

    def step() -> float:
        z, u = x @ W1, x @ W3
        s = np.exp(-z)
        s += 1
        np.reciprocal(s, out=s)
        a = z * s
        h = a * u
        error = h @ W2
        error -= target
        loss = (error * error).mean()

        g_y = error * (2 / error.size)
        g_W2, g_h = h.T @ g_y, g_y @ W2.T
        g_u = g_h * a
        g_h *= u
        slope = 1 - s  # of silu: s + a (1 - s)
        slope *= a
        slope += s
        g_h *= slope
        g_W1, g_W3 = x.T @ g_h, x.T @ g_u
        _descend(parameters, [g_W1, g_W3, g_W2], task.rate)
        return float(loss)

    return Run(step, lambda: parameters)


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


def adam_step(task: Task) -> Run:
    """Adam's update (Kingma & Ba 2015, algorithm 1), the corrections moved into numbers."""
    parameters = [p.copy() for p in task.parameters]
    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    beta1, beta2, t = 0.9, 0.999, 0

    def step() -> None:
        nonlocal t
        t += 1
        for p, g, m, v in zip(parameters, task.x, means, squares, strict=True):
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            divisor = np.sqrt(v)
            divisor /= math.sqrt(1 - beta2**t)
            divisor += 1e-8
            change = m / divisor
            change *= task.rate / (1 - beta1**t)
            p -= change

    return Run(step, lambda: parameters)


def _descend(parameters: list[Array], gradients: list[Array], rate: float) -> None:
    for p, g in zip(parameters, gradients, strict=True):
        p -= rate * g

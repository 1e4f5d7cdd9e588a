"""A multi-layer perceptron from primitive ops learns XOR, which no single neuron can.

Nothing here is a ready layer: a layer is `tanh(x @ W + b)`. The gradient of every parameter comes
from one call of `backward()`, whatever the depth. `check_gradients` compares all of them with
difference quotients before the training starts: a habit worth keeping.
"""

from itertools import pairwise

import numpy as np

import tinygrad_edu as tg

x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
t = np.array([[0.0], [1.0], [1.0], [0.0]])

rng = np.random.default_rng(0)
widths = [2, 4, 1]
parameters = []
for layer, (n_in, n_out) in enumerate(pairwise(widths), start=1):
    limit = np.sqrt(6 / (n_in + n_out))  # Glorot and Bengio (2010): keeps the variance level
    W = rng.uniform(-limit, limit, size=(n_in, n_out))
    parameters += [
        tg.Tensor(W, requires_grad=True, name=f"W{layer}"),
        tg.Tensor(np.zeros(n_out), requires_grad=True, name=f"b{layer}"),
    ]


def predict(W1: tg.Tensor, b1: tg.Tensor, W2: tg.Tensor, b2: tg.Tensor) -> tg.Tensor:
    """Two layers; capital letters for matrices, as in the formulas."""
    hidden = np.tanh(x @ W1 + b1)
    return tg.sigmoid(hidden @ W2 + b2)


def loss(*parameters: tg.Tensor) -> tg.Tensor:
    """Mean squared error over the four rows of the truth table."""
    return np.mean((predict(*parameters) - t) ** 2)


print(tg.check_gradients(loss, *parameters), "\n")

for epoch in range(2001):
    value = loss(*parameters)
    value.backward()
    if epoch % 400 == 0:
        print(f"epoch {epoch:4}  loss {value:.5f}")
    for parameter in parameters:
        parameter.data -= 1.0 * parameter.grad
        parameter.zero_grad()

print("\n x1 x2   target  output")
for sample, target, answer in zip(x, t, predict(*parameters).numpy(), strict=True):
    print(f"  {sample[0]:.0f}  {sample[1]:.0f}     {target[0]:.0f}     {answer[0]:.3f}")

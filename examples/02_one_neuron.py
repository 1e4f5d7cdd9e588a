"""One neuron: a perceptron with a logistic output learns OR, and its gradient is derived by hand.

    O = sigma(x @ w + b),  E = 1/2 sum (O - t)^2

By hand, with sigma' = sigma (1 - sigma):

    dE/dw_j = sum over samples of (O - t) O (1 - O) x_j,   dE/db = sum of (O - t) O (1 - O)

The engine needs no formula for this network: it has one for `@`, one for `+`, one for sigma, and
chains them. Both must agree, and the factor matters: without the 1/2 both would be twice as large.
"""

import numpy as np

import tinygrad_edu as tg

x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
t = np.array([[0.0], [1.0], [1.0], [1.0]])

rng = np.random.default_rng(0)
w = tg.Tensor(rng.normal(size=(2, 1)), requires_grad=True, name="w")
b = tg.Tensor(np.zeros(1), requires_grad=True, name="b")


def by_hand(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two formulas above."""
    out = 1 / (1 + np.exp(-(x @ w + b)))
    delta = (out - t) * out * (1 - out)
    return x.T @ delta, delta.sum(axis=0)


for epoch in range(501):
    out = tg.sigmoid(x @ w + b)
    error = 0.5 * np.sum((out - t) ** 2)
    error.backward()
    if epoch % 100 == 0:
        hand_w, hand_b = by_hand(w.data, b.data)
        apart = max(np.abs(w.grad - hand_w).max(), np.abs(b.grad - hand_b).max())
        print(f"epoch {epoch:3}  error {error:.4f}  engine - hand: {apart:.1e}")
    for parameter in (w, b):
        parameter.data -= 1.0 * parameter.grad
        parameter.zero_grad()

print("\n x1 x2   target  output")
for sample, target, answer in zip(x, t, tg.sigmoid(x @ w.data + b.data), strict=True):
    print(f"  {sample[0]:.0f}  {sample[1]:.0f}     {target[0]:.0f}     {answer[0]:.3f}")

"""A multi-layer perceptron of any depth, of primitive ops, the way one writes it in NumPy.

A layer is f(z) with z = x @ W + b. Its weights start even on ±√(6 / (n_in + n_out)) (Glorot and
Bengio 2010). By hand, the errors go from the last layer to the first:

    δ⁽ᴸ⁾ = ∂L/∂O ⊙ f'(z⁽ᴸ⁾),    δ⁽ˡ⁾ = (δ⁽ˡ⁺¹⁾ W⁽ˡ⁺¹⁾ᵀ) ⊙ f'(z⁽ˡ⁾)
    ∂L/∂W = (its input)ᵀ δ,    ∂L/∂b = Σ_N δ

The loss is L = 1/(N K) Σ (O - t)², the mean over N examples and K outputs, so that
∂L/∂O = 2 (O - t) / (N K). With batches of one, `fit` is per-sample gradient descent.
"""

from itertools import pairwise

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data import DataLoader

ROWS = (6,)
ASKED = "engine = formula to 1e-10"
SEEDS = 5

# f, and its derivative by what f has given.
ACTIVATIONS = {
    "identity": (lambda z: z, lambda out: np.ones_like(out)),
    "sigmoid": (tg.sigmoid, lambda out: out * (1 - out)),
    "tanh": (np.tanh, lambda out: 1 - out**2),
    "relu": (tg.relu, lambda out: out > 0),  # at the kink: 0
}


class Network:
    """Layers of `widths[l]` to `widths[l + 1]` numbers, each with an activation of its own."""

    def __init__(self, widths: list[int], activations: list[str], rng: np.random.Generator) -> None:
        self.widths, self.activations, self.parameters = widths, activations, []
        for n_in, n_out in pairwise(widths):
            limit = np.sqrt(6 / (n_in + n_out))
            W, b = rng.uniform(-limit, limit, (n_in, n_out)), np.zeros(n_out)
            self.parameters += [tg.Tensor(W, requires_grad=True), tg.Tensor(b, requires_grad=True)]

    def forward(self, x: np.ndarray) -> list[tg.Tensor]:
        """What every layer gives, (N, widths[l]) each."""
        outputs = [x]
        weights, biases = self.parameters[::2], self.parameters[1::2]
        for W, b, activation in zip(weights, biases, self.activations, strict=True):
            outputs.append(ACTIVATIONS[activation][0](outputs[-1] @ W + b))
        return outputs[1:]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(N, widths[0]) to (N, widths[-1]), for any number of either."""
        return self.forward(x)[-1].numpy()

    def fit(self, loader: DataLoader, epochs: int, rate: float) -> list[float]:
        """Descend along the gradient of each batch; return the mean loss of every epoch."""
        losses = []
        for _ in range(epochs):
            losses.append(0.0)
            for x, t in loader:
                loss = np.mean((self.forward(x)[-1] - t) ** 2)
                loss.backward()
                for parameter in self.parameters:
                    parameter.data -= rate * parameter.grad
                    parameter.zero_grad()
                losses[-1] += loss.item() * len(x) / loader.examples
        return losses

    def by_hand(self, x: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        """The gradients of all parameters, by the formulas above."""
        outputs = [x, *(out.numpy() for out in self.forward(x))]
        error, gradients = 2 * (outputs[-1] - t) / t.size, []
        for layer in reversed(range(len(self.activations))):
            delta = error * ACTIVATIONS[self.activations[layer]][1](outputs[layer + 1])
            gradients = [outputs[layer].T @ delta, delta.sum(axis=0), *gradients]
            error = delta @ self.parameters[2 * layer].data.T
        return gradients

    def by_layers(self, x: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        """The same, by `nn.MLP` with these parameters."""
        *hidden, output = self.activations
        net = nn.MLP(self.widths, hidden, output, rng=np.random.default_rng(0))
        for theirs, own in zip(net.parameters(), self.parameters, strict=True):
            theirs.data = own.data.T.copy()
        nn.MSELoss()(net(x), t).backward()
        return [parameter.grad.T for parameter in net.parameters()]


def run(seed: int, quick: bool = False) -> float:
    """The largest difference to the formula, over networks of depth 1 to 6 and widths 1 to 32."""
    rng, differences = np.random.default_rng(seed), []
    for _ in range(10 if quick else 100):
        widths = rng.integers(1, 33, size=rng.integers(2, 8)).tolist()
        net = Network(widths, rng.choice(list(ACTIVATIONS), len(widths) - 1).tolist(), rng)
        x, t = rng.normal(size=(5, widths[0])), rng.normal(size=(5, widths[-1]))
        hand = net.by_hand(x, t)
        largest = 1 + max(np.abs(gradient).max() for gradient in hand)
        engine = tg.gradients(np.mean((net.forward(x)[-1] - t) ** 2), net.parameters)
        for found in (engine, net.by_layers(x, t)):
            differences += [np.abs(a - b).max() / largest for a, b in zip(found, hand, strict=True)]
    return float(np.max(differences))


def reached(figure: float, quick: bool = False) -> bool:
    """Whether they are equal, up to rounding."""
    return figure <= 1e-10


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(200, 1))
    t = np.hstack([np.sin(2 * x), np.abs(x)])
    for batch, epochs in ((1, 60), (20, 600)):
        net = Network([1, 20, 20, 2], ["tanh", "tanh", "identity"], np.random.default_rng(0))
        losses = net.fit(DataLoader((x, t), batch, shuffle=True, rng=rng), epochs, 0.05)
        print(f"batches of {batch:>2}: loss {losses[0]:.4f} -> {losses[-1]:.4f} in {epochs} epochs")
    print("sin 2x and |x| at 1:", net.predict(np.ones((1, 1)))[0].round(3), [0.909, 1.0])
    print(f"100 networks: engine, layers and formula at most {run(0):.1e} apart ({ASKED})")

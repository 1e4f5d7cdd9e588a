"""A multi-layer perceptron of any depth, of primitive ops, the way one writes it in NumPy.

A layer is f(z) with z = x @ W + b. Its weights start even on ±√(6 / (n_in + n_out)) (Glorot and
Bengio 2010), and L = 1/(N K) Σ (O - t)². By hand, the errors go from the last layer to the first:

    δ⁽ᴸ⁾ = ∂L/∂O ⊙ f'(z⁽ᴸ⁾),    δ⁽ˡ⁾ = (δ⁽ˡ⁺¹⁾ W⁽ˡ⁺¹⁾ᵀ) ⊙ f'(z⁽ˡ⁾),    ∂L/∂O = 2 (O - t) / (N K)
    ∂L/∂W = (its input)ᵀ δ,    ∂L/∂b = Σ_N δ
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data import DataLoader
from tinygrad_edu.data.files import write_aside

ROWS, ASKED, SEEDS = (6,), "engine = formula to 1e-10", 5
ACTIVATIONS = {  # f, and its derivative by what f has given
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
            W = np.sqrt(6 / (n_in + n_out)) * rng.uniform(-1, 1, (n_in, n_out))
            self.parameters += [tg.Tensor(array, True) for array in (W, np.zeros(n_out))]

    def forward(self, x: np.ndarray) -> list[tg.Tensor]:
        """What every layer gives, (N, widths[l]) each."""
        outputs, parameters = [x], iter(self.parameters)
        for activation in self.activations:
            z = outputs[-1] @ next(parameters) + next(parameters)
            outputs.append(ACTIVATIONS[activation][0](z))
        return outputs[1:]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(N, widths[0]) to (N, widths[-1]), for any number of either."""
        return self.forward(x)[-1].numpy()

    def fit(self, loader: DataLoader, epochs: int, rate: float) -> list[float]:
        """Descend along the gradient of each batch, of one example or more; the loss per epoch."""
        losses = []
        for _ in range(epochs):
            losses.append(0.0)
            for x, t in loader:
                loss = np.mean((self.forward(x)[-1] - t) ** 2)
                for p, g in zip(self.parameters, tg.gradients(loss, self.parameters), strict=True):
                    p.data -= rate * g.numpy()
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
        return [g.numpy().T for g in tg.gradients(nn.MSELoss()(net(x), t), [*net.parameters()])]


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


def picture(folder: Path) -> Path:
    """Draw how |x| and sin 2x are learnt by a network with two outputs."""
    from matplotlib.figure import Figure  # the extra `plot`

    x = np.linspace(-2, 2, 200)
    x, t = x[:, np.newaxis], np.column_stack([np.abs(x), np.sin(2 * x)])
    axes = (figure := Figure(figsize=(7, 3.4), layout="constrained")).add_subplot()
    for batch, style in ((1, "-"), (20, "--")):
        net = Network([1, 20, 20, 2], ["tanh", "tanh", "identity"], rng := np.random.default_rng(0))
        axes.semilogy(net.fit(DataLoader((x, t), batch, shuffle=True, rng=rng), 100, 0.05), style)
    axes.set(xlabel="epoch", ylabel="loss", title="per sample (solid), batches of 20 (dashed)")
    write_aside(path := folder / "07_mlp_any_depth.png", figure.savefig)
    return path


if __name__ == "__main__":
    print(f"100 networks: engine, layers and formula at most {run(0):.1e} apart ({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

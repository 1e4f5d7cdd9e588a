"""Why activations, which ones, and the losses that go with the last layer.

Without an activation depth is worth nothing, two linear layers are one:

    O = (X W1 + b1) W2 + b2 = X (W1 W2) + (b1 W2 + b2)

With one between them they are not:

    sigmoid  σ' = σ (1 - σ)         tanh  tanh' = 1 - tanh²,  tanh x + 1 = 2 σ(2x)
    ReLU     0 or 1; 0 at 0         PReLU max(0, x) + α min(0, x) with a learnt α, ∂/∂α = min(0, x)

At the end an activation meets a loss. In three pairs what is left is prediction minus target:

    linear + mean squared error       (z - t)² -> 2 (z - t) / (N K)
    sigmoid + binary cross-entropy    softplus(z) - t z -> (σ(z) - t) / (N K)
    softmax + cross-entropy           logsumexp(z) - z_t -> (softmax(z) - onehot(t)) / N

So written, from logits z, they hold at ±10,000 too. From probabilities log 0 is near: σ(40) = 1.
"""

import sys
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data.files import write_aside

ROWS, ASKED, SEEDS = (9, 10, 11), "engine = formula to 1e-10, also at logits of ±1e4", 5

ACTIVATIONS = {  # f, and f' as one derives it
    "ReLU": (tg.relu, lambda x: (x > 0) * 1.0),
    "leaky ReLU": (lambda x: tg.leaky_relu(x, 0.1), lambda x: np.where(x > 0, 1, 0.1)),
    "sigmoid": (tg.sigmoid, lambda x: tg.sigmoid(x) * (1 - tg.sigmoid(x))),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
}

Pairs = list[tuple[np.ndarray, np.ndarray]]  # that are to be equal


def two_layers(rng: np.random.Generator) -> Pairs:
    """Two linear layers of random widths, and the one that they are."""
    N, n, m, k = rng.integers(1, 9, size=4).tolist()
    first, second = nn.Linear(n, m, rng=rng), nn.Linear(m, k, rng=rng)
    W1, W2 = first.weight.data.T, second.weight.data.T  # the layers' weight is (out, in)
    X = rng.normal(size=(N, n))
    one = X @ (W1 @ W2) + (first.bias.data @ W2 + second.bias.data)
    return [(second(first(X)).numpy(), one)]


def slopes(rng: np.random.Generator) -> Pairs:
    """The activations' derivatives by the engine and by hand, near 0 and very far from it."""
    pairs = []
    for scale, dtype in ((3, np.float64), (1e4, np.float64), (1e4, np.float32)):
        x = (scale * np.append(rng.uniform(-1, 1, 20), [0, 1, -1])).astype(dtype)
        for f, slope in ACTIVATIONS.values():
            pairs.append((tg.grad(lambda x, f=f: np.sum(f(x)))(x), slope(x)))
        pairs.append((np.tanh(x) + 1, 2 * tg.sigmoid(2 * x)))
    by_alpha = tg.grad(lambda alpha: np.sum(tg.prelu(x, alpha)))(np.ones(1, x.dtype))
    return [*pairs, (by_alpha, np.minimum(0, x).sum(keepdims=True))]


def output_layers(rng: np.random.Generator, scale: float) -> Pairs:
    """∂L/∂z of primitive ops and of layers, and as derived; from p only where z is not extreme."""
    N, K = rng.integers(1, 9, size=2)
    z, t = scale * rng.uniform(-1, 1, (N, K)), rng.normal(size=(N, K))
    yes, labels = rng.integers(2, size=(N, K)).astype(float), rng.integers(K, size=N)
    squared, binary = 2 * (z - t) / (N * K), (tg.sigmoid(z) - yes) / (N * K)
    by_class = (tg.softmax(z, axis=1) - np.eye(K)[labels]) / N
    losses = [
        (lambda z: np.mean((z - t) ** 2), squared),
        (lambda z: nn.MSELoss()(z, t), squared),
        (lambda z: np.mean(tg.softplus(z) - yes * z), binary),
        (lambda z: nn.BCEWithLogitsLoss()(z, yes), binary),
        (lambda z: np.mean(tg.logsumexp(z, axis=1) - z[np.arange(N), labels]), by_class),
        (lambda z: nn.CrossEntropyLoss()(z, labels), by_class),
    ]
    if scale < 10:
        losses.append((lambda z: nn.BCELoss()(tg.sigmoid(z), yes), binary))
        losses.append((lambda z: nn.NLLLoss()(np.log(tg.softmax(z, 1)), labels), by_class))
    return [(tg.grad(loss)(z), derived) for loss, derived in losses]


def run(seed: int, quick: bool = False) -> float:
    """The largest difference between two sides that are to be equal, in terms of 1 + the side."""
    rng, differences = np.random.default_rng(seed), []
    for _ in range(5 if quick else 50):
        pairs = [*two_layers(rng), *slopes(rng), *output_layers(rng, 3), *output_layers(rng, 1e4)]
        for one, other in pairs:
            rounding = np.finfo(one.dtype).eps / np.finfo(float).eps  # 1, or of float32 more
            differences.append(np.max(np.abs(one - other) / (1 + np.abs(other))) / rounding)
    return float(np.max(differences))  # NaN if one is


def reached(figure: float, quick: bool = False) -> bool:
    """Whether both sides are equal up to rounding, and finite."""
    return figure <= 1e-10


def picture(folder: Path) -> Path:
    """Draw each activation, and its derivative by the engine."""
    from matplotlib.figure import Figure  # the extra `plot`

    x, figure = np.linspace(-4, 4, 401), Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (name, (f, _)) in zip(figure.subplots(1, 4), ACTIVATIONS.items(), strict=True):
        axes.plot(x, f(x), label="f(x)")
        axes.plot(x, tg.grad(lambda x, f=f: np.sum(f(x)))(x), "--", label="f'(x)")
        axes.set(title=name, xlabel="x", ylim=(-1.15, 2.15))
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", handlelength=1.5)
    write_aside(path := folder / "10_activations_and_losses.png", figure.savefig)
    return path


if __name__ == "__main__":
    print(f"two sides that are to be equal differ by at most {run(0):.1e} ({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

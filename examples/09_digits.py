"""Handwritten digits: softmax regression, and then the network with a hidden layer.

Both end in softmax and cross-entropy, L = -1/N Σ log p_n,t(n) with p = softmax(z). The derivative
is what makes this pair so common: prediction minus target, and from there on the rules of an MLP.

    ∂L/∂z = (softmax(z) - onehot(t)) / N,    ∂L/∂W = xᵀ ∂L/∂z,    ∂L/∂b = Σ_N ∂L/∂z

The set-up is that of "Dive into Deep Learning" (A. Zhang et al. 2021, sections 3.6 and 4.6):
weights from N(0, 0.01²), biases 0, 256 hidden units with ReLU, batches of 256, rate 0.1. The images
here are 8 x 8, so 64 numbers go in. 1,200 epochs: about there the loss on training images that were
put aside for this question (five-fold cross-validation) was least. The test part decided nothing.

With the data of Fashion-MNIST, which are fetched once:  python examples/09_digits.py --fashion
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data import DataLoader, FashionMNIST, load_digits
from tinygrad_edu.optim import SGD

ROWS, ASKED, SEEDS = (8,), "test accuracy >= 96 %", 5
EPOCHS, BATCH, RATE, HIDDEN = 1200, 256, 0.1, 256
SHOWN = __name__ == "__main__"  # training shows how it goes

Part = tuple[np.ndarray, np.ndarray]
normal = partial(nn.init.normal, std=0.01)


def digits() -> tuple[Part, Part]:
    """Images (N, 8, 8) and labels (N,), to train and to test with."""
    data = load_digits()
    train, test = data.train_images.reshape(-1, 8, 8), data.test_images.reshape(-1, 8, 8)
    return (train, data.train_labels), (test, data.test_labels)


def regression(x: np.ndarray, t: np.ndarray, W: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """The loss of softmax regression, of primitive ops: x (N, n), t (N,), W (n, 10), b (10,)."""
    z = x @ W + b
    log_p = z - tg.logsumexp(z, axis=1, keepdims=True)
    losses = -log_p[np.arange(len(t)), t]  # reduction="none": one for each image
    return np.mean(losses)  # reduction="mean"


def regression_by_hand(
    x: np.ndarray, t: np.ndarray, W: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Its gradients by W and b: the formulas above."""
    delta = (tg.softmax(x @ W + b, axis=1) - np.eye(W.shape[1])[t]) / len(t)
    return x.T @ delta, delta.sum(axis=0)


def apart() -> float:
    """The largest difference of gradients by ops to those by hand, and to those of layers."""
    (x, t), _ = digits()
    x, layer = x[:50].reshape(50, 64), nn.Linear(64, 10, rng=np.random.default_rng(0))
    W, b = tg.Tensor(layer.weight.data.T, True), tg.Tensor(layer.bias.data, True)
    by_ops = tg.gradients(regression(x, t[:50], W, b), [W, b])
    by_hand = regression_by_hand(x, t[:50], W.data, b.data)
    nn.CrossEntropyLoss()(layer(x), t[:50]).backward()
    pairs = zip(by_ops * 2, (*by_hand, layer.weight.grad.T, layer.bias.grad), strict=True)
    return max(np.abs(one.numpy() - other).max() for one, other in pairs)


def network(pixels: int, rng: np.random.Generator, hidden: int = HIDDEN) -> nn.Sequential:
    """The network of layers; with `hidden=0` softmax regression."""
    linear = partial(nn.Linear, init=normal, rng=rng, dtype=np.float32)
    if not hidden:
        return nn.Sequential(nn.Flatten(), linear(pixels, 10))
    return nn.Sequential(nn.Flatten(), linear(pixels, hidden), nn.ReLU(), linear(hidden, 10))


def train(
    seed: int, epochs: int = EPOCHS, hidden: int = HIDDEN, data: tuple[Part, Part] | None = None
) -> nn.History:
    """Train, and measure the test part after every epoch."""
    rng = np.random.default_rng(seed)
    learnt, tested = data or digits()
    net = network(learnt[0][0].size, rng, hidden)
    loader = DataLoader(learnt, BATCH, shuffle=True, rng=rng)
    test = DataLoader(tested, 1000)
    optimizer = SGD(net.parameters(), lr=RATE)
    return nn.fit(net, loader, nn.CrossEntropyLoss(), optimizer, epochs, test=test, progress=SHOWN)


def run(seed: int, quick: bool = False) -> float:
    """The test accuracy of the network after the last epoch."""
    return train(seed, 150 if quick else EPOCHS)[-1].test_accuracy


def reached(figure: float, quick: bool = False) -> bool:
    """Whether it is that asked."""
    return figure >= (0.9 if quick else 0.96)


def picture(folder: Path, history: nn.History | None = None) -> Path:
    """Draw the curves of loss, train and test accuracy."""
    path = folder / "09_digits.png"
    (history or train(0)).plot(path, "64-256-10 on the digits")  # needs the extra `plot`
    return path


if __name__ == "__main__":
    if "--fashion" in sys.argv:
        fashion = FashionMNIST()
        accuracy = train(0, 20, data=(fashion.train, fashion.test))[-1].test_accuracy
        print(f"Fashion-MNIST, 20 epochs: test accuracy {accuracy:.4f}  (asked: >= 0.85)")
        sys.exit()
    print(f"ops - by hand, ops - layers: at most {apart():.0e}")
    print(f"softmax regression: test accuracy {train(0, hidden=0)[-1].test_accuracy:.4f}")
    history = train(0)
    print(f"64-256-10 network:  test accuracy {history[-1].test_accuracy:.4f}  (asked: {ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output"), history))

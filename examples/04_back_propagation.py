"""Back-propagation by hand: a neuron, several neurons, and a hidden layer.

The output of a neuron is O = σ(x·w), its error E = ½ (O - t)². With σ' = σ (1 - σ), the chain rule
gives what each weight has to do with the error:

    one output        ∂E/∂w_j  = (O - t) · O (1 - O) · x_j
    several outputs   ∂E/∂w_jk = (O_k - t_k) · O_k (1 - O_k) · x_j = δ_k x_j
    a hidden layer    ∂E/∂W_jk = O_j δ_k
                      ∂E/∂W_ij = O_i · O_j (1 - O_j) · Σ_k δ_k W_jk

The engine was told none of these. It has a rule for `@`, one for σ and one for the square, and
chains them: equal to the last digits. So are ready layers, whose weights are (out, in). Mind the
factor: PyTorch's mean squared error, 1/(N K) Σ (O - t)² over N samples with K outputs, is 2/(N K)
times E, and so is its gradient.
"""

import sys
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data.files import write_aside

ROWS, ASKED, SEEDS = (1, 2, 5), "engine = formula to 1e-12", 5
Array = np.ndarray


def by_hand(x: Array, W: Array, t: Array) -> Array:
    """∂E/∂W of a layer of neurons: one of them is the layer with one column."""
    output = tg.sigmoid(x @ W)
    delta = (output - t) * output * (1 - output)
    return x.T @ delta


def by_hand_with_hidden(x: Array, W_ij: Array, W_jk: Array, t: Array) -> tuple[Array, Array]:
    """∂E/∂W_ij and ∂E/∂W_jk: the errors go back through the weights that they came by."""
    O_j = tg.sigmoid(x @ W_ij)
    O_k = tg.sigmoid(O_j @ W_jk)
    delta_k = (O_k - t) * O_k * (1 - O_k)
    delta_j = O_j * (1 - O_j) * (delta_k @ W_jk.T)
    return x.T @ delta_j, O_j.T @ delta_k


def by_engine(x: Array, weights: list[Array], t: Array) -> list[Array]:
    """The same of primitive ops: a layer is σ(O @ W)."""
    output, tensors = x, [tg.Tensor(W, requires_grad=True) for W in weights]
    for W in tensors:
        output = tg.sigmoid(output @ W)
    error = 0.5 * np.sum((output - t) ** 2)
    return [gradient.numpy() for gradient in tg.gradients(error, tensors)]


def by_layers(x: Array, weights: list[Array], t: Array) -> list[Array]:
    """The same of layers, with PyTorch's mean: 2/(N K) times the gradient of E, taken back here."""
    widths = [len(weights[0]), *(W.shape[1] for W in weights)]
    rng = np.random.default_rng(0)
    net = nn.MLP(widths, activation="sigmoid", output="sigmoid", bias=False, rng=rng)
    for parameter, W in zip(net.parameters(), weights, strict=True):
        parameter.data = W.T.copy()
    nn.MSELoss()(net(x), t).backward()
    return [parameter.grad.T * t.size / 2 for parameter in net.parameters()]


def cases(rng: np.random.Generator) -> dict[str, tuple[Array, list[Array], Array, list[Array]]]:
    """x, weights, t, and the gradients derived by hand, of nets of any size up to 8."""
    N, n_in, J, K = rng.integers(1, 9, size=4)
    x, t = rng.normal(size=(N, n_in)), rng.uniform(size=(N, K))
    w, W = rng.normal(size=(n_in, 1)), rng.normal(size=(n_in, K))
    W_ij, W_jk = rng.normal(size=(n_in, J)), rng.normal(size=(J, K))
    one = t[:, :1]
    return {
        "one output": (x, [w], one, [by_hand(x, w, one)]),
        "several outputs": (x, [W], t, [by_hand(x, W, t)]),
        "a hidden layer": (x, [W_ij, W_jk], t, [*by_hand_with_hidden(x, W_ij, W_jk, t)]),
    }


def apart(engine: list[Array], hand: list[Array]) -> float:
    """The largest difference, in terms of 1 + the largest gradient."""
    largest = max(np.abs(gradient).max() for gradient in hand)
    return max(np.abs(a - b).max() for a, b in zip(engine, hand, strict=True)) / (1 + largest)


def run(seed: int, quick: bool = False) -> float:
    """The largest difference between the formulas, the engine and the layers."""
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(10 if quick else 100):
        for x, weights, t, hand in cases(rng).values():
            differences += [apart(f(x, weights, t), hand) for f in (by_engine, by_layers)]
    return float(np.max(differences))  # NaN if one is NaN, which Python's max might overlook


def reached(figure: float, quick: bool = False) -> bool:
    """Whether they are equal, up to rounding."""
    return figure <= 1e-12


def picture(folder: Path) -> Path:
    """Draw the graph of two layers; on an arrow stands what flows back along it."""
    from viz import draw

    x, W_ij, W_jk = (tg.Tensor(np.eye(2), name != "x", name) for name in ("x", "W_ij", "W_jk"))
    O_j = tg.sigmoid(x @ W_ij)
    O_k = tg.sigmoid(O_j @ W_jk)
    graph = draw(O_k, names=locals(), engine="builtin", direction="TB")
    write_aside(path := folder / "04_back_propagation.svg", graph.save)
    return path


if __name__ == "__main__":
    for name, (x, weights, t, hand) in cases(np.random.default_rng(0)).items():
        found = by_engine(x, weights, t)
        print(f"{name:<16} ∂E/∂W[0, 0]: engine {found[0][0, 0]:+.12f}  hand {hand[0][0, 0]:+.12f}")
    print(f"engine, hand, layers: at most {run(0):.1e} apart in 100 nets ({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

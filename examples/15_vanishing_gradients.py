"""Why plain recurrent networks forget: the gradient on its way back vanishes, or explodes.

    ∂h_t/∂h_{t-1} = diag(1 - h_t²) U,   so   ∂h_T/∂h_t is a product of T - t such matrices

If U shrinks vectors, what happened k steps ago counts less by a factor to the power of k; if it
stretches them (by more than the slopes of tanh take away), more. What cannot be felt cannot be
learnt. In an LSTM the state c has ∂c_t/∂c_{t-1} = f, its forget gate, plus little else: with f near
1 the gradient comes through. The picture has its norm against the number of steps gone back.

Source: R. Pascanu et al., "On the difficulty of training recurrent neural networks" (2013).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data.files import write_aside

ROWS, SEEDS = (13,), 5
ASKED = "over 50 steps < 1e-6 with a U of 0.7, > 1e3 with a U of 3; LSTM between 1e-3 and 1e3"
WIDTH, STEPS = 32, 50

Array = Any


def plain(stretch: float, rng: np.random.Generator) -> nn.RNN:
    """A tanh RNN with a U that makes every vector so many times as long."""
    layer = nn.RNN(4, WIDTH, rng=rng)
    layer.weight_hh_l0.data = nn.init.orthogonal((WIDTH, WIDTH), stretch, rng=rng)
    return layer


def remembering(rng: np.random.Generator) -> nn.LSTM:
    """An LSTM that starts with its forget gates open: σ(4) = 0.98."""
    layer = nn.LSTM(4, WIDTH, rng=rng)
    layer.bias_ih_l0.data[WIDTH : 2 * WIDTH] = 4.0
    return layer


def norms(layer: nn.Module, rng: np.random.Generator) -> Array:
    """Of the gradient of the last output by the input k steps before, for k from 0 on: (T,)."""
    x = tg.Tensor(rng.normal(size=(STEPS + 1, 1, 4)), requires_grad=True)
    np.sum(layer(x)[0][-1] * rng.normal(size=WIDTH)).backward()
    return np.linalg.norm(x.grad, axis=(1, 2))[::-1]


def curves(seed: int) -> dict[str, Array]:
    """One for each network."""
    rng = np.random.default_rng(seed)
    layers: dict[str, Any] = {f"RNN, U of {gain}": plain(gain, rng) for gain in (0.7, 1.0, 3.0)}
    layers["LSTM, forget gates open"] = remembering(rng)
    return {name: norms(layer, rng) for name, layer in layers.items()}


def run(seed: int, quick: bool = False) -> float:
    """How many of the three are as asked; the quick run is the full one."""
    small, _, large, lstm = (curve[-1] / curve[0] for curve in curves(seed).values())
    return float(sum([small < 1e-6, large > 1e3, 1e-3 < lstm < 1e3]))


def reached(figure: float, quick: bool = False) -> bool:
    """All three."""
    return figure == 3


def picture(folder: Path) -> Path:
    """The norm against the number of steps gone back."""
    from matplotlib.figure import Figure  # the extra `plot`

    axes: Any = (figure := Figure(figsize=(7, 4), layout="constrained")).add_subplot()
    for (name, curve), style in zip(curves(seed=0).items(), ("-", "k:", "-", "--"), strict=True):
        (line,) = axes.semilogy(curve, style)
        axes.text(STEPS + 1, curve[-1], name, va="center", color=line.get_color())
    axes.set(xlabel="steps gone back", ylabel="norm of the gradient", xlim=(0, 72))
    axes.set(xticks=range(0, STEPS + 1, 10), title="Vanishing, exploding, and neither")
    write_aside(path := folder / "15_vanishing_gradients.png", figure.savefig)
    return path


if __name__ == "__main__":
    for name, curve in curves(seed=0).items():
        print(f"{name:24} norm at 0 steps {curve[0]:.0e}, at {STEPS} steps {curve[-1]:.0e}")
    print(f"asked: {ASKED}; so are {run(0):.0f} of 3")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

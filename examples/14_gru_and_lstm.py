"""GRU and LSTM remember for fifty steps what a simple recurrent network forgets.

Gates, numbers between 0 and 1 from a logistic function, decide what a state keeps. GRU:

    r = σ(W_r x + U_r h),  z = σ(W_z x + U_z h),  n = tanh(W_n x + r ⊙ U_n h)
    h' = (1 - z) ⊙ n + z ⊙ h                      (with biases, in PyTorch's convention)

LSTM, which has a second state c that is only scaled and added to:

    i, f, o = σ(...),  g = tanh(...),  c' = f ⊙ c + i ⊙ g,  h' = o ⊙ tanh(c')

Where z or f is near 1, state and gradient go through unchanged. The adding problem tells who
remembers: two of fifty numbers are marked, what is their sum? Stacked layers read the states below.

Source: K. Cho et al. (2014), arXiv:1406.1078; S. Hochreiter, J. Schmidhuber (1997).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import data, nn
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import Adam, clip_grad_norm_

ROWS, SEEDS = (14, 15), 5
ASKED = "adding problem, 50 steps: squared error < 0.02, where an RNN stays above 0.1"
KINDS: dict[str, Any] = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
Array = Any


def gru(x: Array, h: Array, W: Array, U: Array, b: Array, d: Array) -> Array:
    """All states (T, N, H) from primitive ops; W (3 H, n) and U (3 H, H) have r, z, n in rows."""
    states = []
    for x_t in x:
        a_r, a_z, a_n = np.split(x_t @ W.T + b, 3, axis=1)
        u_r, u_z, u_n = np.split(h @ U.T + d, 3, axis=1)
        r, z = tg.sigmoid(a_r + u_r), tg.sigmoid(a_z + u_z)
        n = np.tanh(a_n + r * u_n)
        h = (1 - z) * n + z * h
        states.append(h)
    return np.stack(states)


def lstm(x: Array, h: Array, W: Array, U: Array, b: Array, d: Array) -> Array:
    """The same for W and U with i, f, g, o in their rows; c starts at 0."""
    states, c = [], np.zeros(h.shape)
    for x_t in x:
        i, f, g, o = np.split(x_t @ W.T + b + h @ U.T + d, 4, axis=1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * np.tanh(g)
        h = tg.sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states)


def apart(kind: str) -> float:
    """The largest difference between ops and two stacked layers: of states, and of gradients."""
    rng, h, by_ops = np.random.default_rng(0), np.zeros((4, 3)), {"GRU": gru, "LSTM": lstm}[kind]
    layers, x = KINDS[kind](2, 3, 2, rng=rng), tg.Tensor(rng.normal(size=(6, 4, 2)), True)
    leaves, answers = [x, *layers.parameters()], []  # 4 parameters for each layer
    for states in (by_ops(by_ops(x, h, *leaves[1:5]), h, *leaves[5:]), layers(x)[0]):
        g = np.cos(np.arange(states.size)).reshape(states.shape)
        answers.append([states.numpy(), *tg.gradients(states, leaves, g)])
    return max(np.abs(a - b).max() for a, b in zip(*answers, strict=True))


def train(kind: str, seed: int, steps: int = 1500, length: int = 50) -> list[float]:
    """The squared error on 1,000 sequences that are not learnt from, after every 50 steps."""
    rng = np.random.default_rng(seed)
    x_test, t_test = data.adding_problem(1000, length, rng=rng)
    layer = KINDS[kind](2, 32, batch_first=True, rng=rng, dtype=np.float32)
    output = nn.Linear(32, 1, rng=rng, dtype=np.float32)
    parameters = [*layer.parameters(), *output.parameters()]
    optimizer, errors = Adam(parameters, lr=0.01), []
    for step in range(1, steps + 1):
        x, t = data.adding_problem(32, length, rng=rng)  # new ones in every step
        loss = tg.mse_loss(output(layer(x)[0][:, -1]), t)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 50 == 0:
            with tg.no_grad():
                errors.append(tg.mse_loss(output(layer(x_test)[0][:, -1]), t_test).item())
    return errors


def run(seed: int, quick: bool = False) -> float:
    """The larger error of GRU and LSTM; infinite if the simple RNN is not left behind."""
    settings = (400, 10) if quick else (1500, 50)
    rnn, *gated = (train(kind, seed, *settings)[-1] for kind in KINDS)
    return max(gated) if rnn > 0.1 or quick else float("inf")


def reached(figure: float, quick: bool = False) -> bool:
    """Who always answers 1 has an error of 1/6; the quick run is over 10 steps."""
    return figure < (0.05 if quick else 0.02)


def picture(folder: Path) -> Path:
    """The error of all three as they learn."""
    from matplotlib.figure import Figure  # the extra `plot`

    axes: Any = (figure := Figure(figsize=(7, 3.8), layout="constrained")).add_subplot()
    for kind, style in zip(KINDS, ("k:", "-", "--"), strict=True):
        axes.semilogy(range(50, 1501, 50), train(kind, seed=0), style, label=kind)
    axes.legend()
    axes.set(xlabel="steps of training", ylabel="squared error", title="Add two of 50 numbers")
    write_aside(path := folder / "14_gru_and_lstm.png", figure.savefig)
    return path


if __name__ == "__main__":
    print("two layers, ops - nn:", {kind: f"{apart(kind):.0e}" for kind in ("GRU", "LSTM")})
    print("squared errors:", {kind: train(kind, seed=0)[-1] for kind in KINDS}, f"({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

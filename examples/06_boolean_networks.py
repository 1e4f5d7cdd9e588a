"""Networks of Boolean units: three gates make XOR, and a hidden layer learns any truth table.

A unit of step functions is a gate, and gates compose: XOR(a, b) = AND(OR(a, b), NAND(a, b)). Here
the three are set by hand. To *learn* such a network the step is replaced by the logistic function,
which has a slope, and counting mistakes by the cross-entropy, which has one too. Then any table of
four inputs is learnt, parity included, where every input matters and none tells anything alone.

Whether it is depends on where the weights start, so one network proves little. This trains hundreds
at once: the same expressions, with one more axis in front of every array. Adam treats every weight
alone, so each network learns just as it would by itself.

Source: D. Rumelhart, G. Hinton, R. Williams, "Learning Internal Representations by Error
Propagation" (1986), on XOR and parity.
"""

import sys
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data import gate, parity, random_table
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import Adam

ROWS, ASKED, SEEDS = (4,), "52: XOR by >= 95 of 100 nets; parity, 50 random tables by >= 3 of 5", 5
TABLES, NETS_PER_TABLE, XOR_NETS = 51, 5, 100


def xor_of_gates(x: np.ndarray) -> np.ndarray:
    """Three units with weights set by hand, (N, 2) to (N,)."""
    step = nn.Step()
    either = step(x @ [1, 1] - 0.5)  # OR: one input is enough
    not_both = step(1.5 - x @ [1, 1])  # NAND: two are too many
    return step(either + not_both - 1.5)  # AND: both of these


def learn(
    x: np.ndarray, t: np.ndarray, rng: np.random.Generator, hidden: int = 12, updates: int = 1000
) -> tuple[np.ndarray, np.ndarray, list[tg.Tensor]]:
    """Train a batch of B networks with one hidden layer, each on a table of its own.

    All tables have the inputs x (rows, inputs), and their answers are t (B, rows, 1). Returns (B,)
    whether all rows are right in the end, (updates, B) losses, and W1, b1, W2, b2.
    """
    B = len(t)
    shapes = (B, x.shape[1], hidden), (B, 1, hidden), (B, hidden, 1), (B, 1, 1)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    W1, b1, W2, b2 = parameters = [tg.Tensor(array, requires_grad=True) for array in arrays]
    optimizer = Adam(parameters, lr=0.1)
    losses = []
    for _ in range(updates):
        z = tg.sigmoid(x @ W1 + b1) @ W2 + b2  # (B, rows, 1), logits
        loss = np.mean(tg.binary_cross_entropy_with_logits(z, t, "none"), axis=(1, 2))
        np.sum(loss).backward()  # the sum over networks: none changes another's gradient
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.numpy())
    right = np.all((tg.sigmoid(z) > 0.5).numpy() == t, axis=(1, 2))
    return right, np.array(losses), parameters


def layers(parameters: list[tg.Tensor], number: int) -> nn.MLP:
    """One network of the batch as ready layers, which answer and differentiate alike."""
    W1, b1, W2, b2 = (parameter.data[number] for parameter in parameters)
    net = nn.MLP([*W1.shape, 1], "sigmoid", rng=np.random.default_rng(0), dtype=W1.dtype)
    for parameter, array in zip(net.parameters(), (W1.T, b1[0], W2.T, b2[0]), strict=True):
        parameter.data = array.copy()
    return net


def run(seed: int, quick: bool = False) -> float:
    """How many tables were learnt by as many of their networks as asked."""
    rng = np.random.default_rng(seed)
    x, t = gate("xor")
    xor, _, _ = learn(x, np.tile(t, (XOR_NETS, 1, 1)), rng, 8)
    if quick:
        return float(xor.sum())
    x, t = parity(4)
    tables = np.stack([t, *(random_table(4, rng=rng)[1] for _ in range(TABLES - 1))])
    others, _, _ = learn(x, np.repeat(tables, NETS_PER_TABLE, axis=0), rng)
    return float((xor.sum() >= 95) + np.sum(others.reshape(TABLES, -1).sum(axis=1) >= 3))


def reached(figure: float, quick: bool = False) -> bool:
    """Whether all were; quick: whether 95 of 100 networks learnt XOR."""
    return figure >= 95 if quick else figure >= 1 + TABLES


def picture(folder: Path) -> Path:
    """Draw the losses of six networks on XOR and six on parity."""
    from matplotlib.figure import Figure  # the extra `plot`

    axes = (figure := Figure(figsize=(7, 3), layout="constrained")).subplots(1, 2, sharey=True)
    tables = {"XOR": gate("xor"), "parity of 4 inputs": parity(4)}
    for plot, (title, (x, t)) in zip(axes, tables.items(), strict=True):
        _, losses, _ = learn(x, np.tile(t, (6, 1, 1)), np.random.default_rng(0))
        plot.semilogy(losses, color="tab:blue", linewidth=1)
        plot.set(xlabel="epoch", ylabel="cross-entropy", title=f"{title}: 6 networks")
        plot.grid(alpha=0.3)
        plot.label_outer()
    write_aside(path := folder / "06_boolean_networks.png", figure.savefig)
    return path


if __name__ == "__main__":
    x, t = gate("xor")
    print("XOR of three gates:", xor_of_gates(x), " asked:", t[:, 0])
    right, losses, parameters = learn(x, np.tile(t, (XOR_NETS, 1, 1)), np.random.default_rng(0), 8)
    print(f"learnt by {right.sum()} of {XOR_NETS}; loss {losses[0, 0]:.3f} -> {losses[-1, 0]:.5f}")
    W1, b1, W2, b2 = first = [tg.Tensor(p.data[0], requires_grad=True) for p in parameters]
    net, loss = layers(parameters, 0), nn.BCEWithLogitsLoss()
    by_ops = tg.gradients(loss(tg.sigmoid(x @ W1 + b1) @ W2 + b2, t), first)
    by_layers = tg.gradients(loss(net(x), t), [*net.parameters()])
    apart = max(np.abs(one - two.T).max() for one, two in zip(by_ops, by_layers, strict=True))
    print(f"its gradients, ops - layers: {apart:.0e} (float32)")
    print(f"tables learnt: {run(0):.0f} ({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

"""Rosenblatt's perceptron: a step, a rule, and the table that it cannot learn.

The unit answers 1 where w·x + b > 0, and 0 elsewhere. Its derivative is 0 wherever there is one, so
gradient descent would never move: `backward()` gives zeros, and is right. Rosenblatt's rule needs
no derivative. Where the answer is wrong, it moves the line towards the example:

    w ← w + (t - answer) x,    b ← b + (t - answer)

If a line can separate the ones from the zeros, then this ends after finitely many mistakes (the
convergence theorem, Novikoff 1962). AND, OR, NOT, NAND and NOR are such tables. XOR is none
(Minsky and Papert 1969): the weights go round in circles, and the 0/1 loss goes up and down. A
program that trains for some epochs and then reports its weights would claim success for nothing,
so `learn` says whether a whole epoch went by without a mistake.

Source: F. Rosenblatt, "The Perceptron" (1958).
"""

import sys
from pathlib import Path

import numpy as np

from tinygrad_edu import nn
from tinygrad_edu.data import gate
from tinygrad_edu.data.files import write_aside

ROWS, ASKED, SEEDS = (3,), "5 gates learnt, and XOR never", 100

GATES = ("and", "or", "not", "nand", "nor")
EPOCHS = 200


def learn(
    x: np.ndarray, t: np.ndarray, rng: np.random.Generator, epochs: int = EPOCHS
) -> tuple[bool, list[int], nn.Perceptron]:
    """Apply the rule, example by example, until an epoch passes without a mistake.

    Args:
        x: (N, inputs).
        t: (N, 1), zeros and ones.
        rng: of the first weights and of the order of the examples.
        epochs: how many at most.

    Returns:
        Whether there was such an epoch; the 0/1 loss, how many of all answers are wrong, after each
        example; and the unit.
    """
    unit = nn.Perceptron(x.shape[1], activation="step", rng=rng)
    w, b = unit.linear.weight.data, unit.linear.bias.data  # (1, inputs), (1,)
    losses = []
    for _ in range(epochs):
        mistakes = 0
        for n in rng.permutation(len(x)):
            wrong = t[n] - np.heaviside(w @ x[n] + b, 0)  # 1, 0 or -1
            w += wrong * x[n]
            b += wrong
            mistakes += int(wrong[0] != 0)
            losses.append(int(np.sum(np.heaviside(x @ w.T + b, 0) != t)))
        if mistakes == 0:
            return True, losses, unit
    return False, losses, unit


def run(seed: int, quick: bool = False) -> float:
    """How many gates were learnt; none counts if XOR was said to be."""
    rng = np.random.default_rng(seed)
    if learn(*gate("xor"), rng, 20 if quick else EPOCHS)[0]:
        return 0.0
    learnt = 0
    for name in GATES:
        x, t = gate(name)
        converged, _, unit = learn(x, t, rng)
        learnt += converged and bool(np.all(unit(x).numpy() == t))
    return float(learnt)


def reached(figure: float, quick: bool = False) -> bool:
    """Whether every gate was learnt."""
    return figure >= len(GATES)


def picture(folder: Path) -> Path:
    """Draw the 0/1 loss: of AND it goes to 0, of XOR up and down for ever."""
    from matplotlib.figure import Figure  # the extra `plot`

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    for place, (name, said) in enumerate({"and": "is learnt", "xor": "never is"}.items(), 1):
        _, losses, _ = learn(*gate(name), np.random.default_rng(2), 30)
        axes = figure.add_subplot(2, 1, place, title=f"{name.upper()} {said}", ylabel="wrong of 4")
        axes.step(range(1, len(losses) + 1), losses, where="mid")
        axes.set(xlim=(0, 121), ylim=(-0.3, 4.3), yticks=range(5))
        axes.grid(axis="y", alpha=0.3)
    axes.set_xlabel("examples seen")
    write_aside(path := folder / "05_rosenblatt.png", figure.savefig)
    return path


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    for name in (*GATES, "xor"):
        converged, losses, unit = learn(*gate(name), rng)
        w, b = unit.linear.weight.data[0], unit.linear.bias.data[0]
        weights = "  ".join(f"{number:+.2f}" for number in (*w, b))
        said = "learnt after" if converged else "NOT learnt after"
        print(f"{name:<5}{said:>16} {len(losses):>3} examples; weights, bias {weights:<22}", end="")
        print("  0/1 loss", *losses[-16:])
    x, t = gate("and")
    np.sum((unit(x) - t) ** 2).backward()
    print(f"\nthe gradient of a step: {unit.linear.weight.grad[0]}: it teaches nothing")
    print(f"seed 0: {run(0):.0f} gates learnt ({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

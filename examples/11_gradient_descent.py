"""Gradient descent itself: how the usual optimisers walk over a surface that one can see.

    plain       θ ← θ - η g                         with g = ∇f(θ)
    momentum    b ← μ b + g;  θ ← θ - η b           steps that agree add up, others cancel
    Nesterov    b ← μ b + g;  θ ← θ - η (g + μ b)   the same, looking ahead along b
    RMSProp     v ← α v + (1 - α) g²;  θ ← θ - η g / (√v + ε)
    Adam        means m of g and v of g², both over 1 - βᵗ;  θ ← θ - η m / (√v + ε)
    AdamW       θ ← θ (1 - η λ) before the step of Adam: weight decay apart from g
    schedule    η falls along half a cosine         large steps first, then exact ones
    clipping    g scaled down to norm 1             a cliff in the surface throws nobody far

The surface is a ravine, f(a, b) = a²/10 + 2 b²: steep across, flat along, so that no rate suits
both. Each walk is written out in NumPy, and once more with the engine and `optim`: the same points.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import optim
from tinygrad_edu.data.files import write_aside

ROWS, ASKED, SEEDS = (19,), "optim = reference to 1e-12", 5

STEPS, EPS, START = 40, 1e-8, np.array([-5.0, -2.0])
OPTIMIZERS = {
    "plain": lambda points: optim.SGD(points, 0.4),
    "momentum": lambda points: optim.SGD(points, 0.1, momentum=0.8),
    "Nesterov": lambda points: optim.SGD(points, 0.1, momentum=0.8, nesterov=True),
    "RMSProp": lambda points: optim.RMSprop(points, 0.2, alpha=0.9, eps=EPS),
    "Adam": lambda points: optim.Adam(points, 0.4, betas=(0.9, 0.99), eps=EPS),
    "AdamW": lambda points: optim.AdamW(points, 0.4, (0.9, 0.99), EPS, weight_decay=0.1),
    "schedule": lambda points: optim.SGD(points, 0.4),
    "clipping": lambda points: optim.SGD(points, 0.4),
}


def surface(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """f(a, b), of numbers or arrays."""
    return a**2 / 10 + 2 * b**2


def by_hand(name: str, theta: np.ndarray) -> Iterator[np.ndarray]:
    """The points (2,) of a walk that starts at theta, by the formulas above."""
    b = m = v = 0.0
    for t in range(1, STEPS + 1):
        yield theta
        g = theta * [0.2, 4.0]  # the gradient of the surface
        match name:
            case "plain" | "schedule":
                fallen = (1 + np.cos(np.pi * (t - 1) / STEPS)) / 2 if name == "schedule" else 1
                theta = theta - 0.4 * fallen * g
            case "momentum" | "Nesterov":
                b = 0.8 * b + g
                theta = theta - 0.1 * (b if name == "momentum" else g + 0.8 * b)
            case "RMSProp":
                v = 0.9 * v + 0.1 * g**2
                theta = theta - 0.2 * g / (np.sqrt(v) + EPS)
            case "Adam" | "AdamW":
                m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
                mean, square = m / (1 - 0.9**t), v / (1 - 0.99**t)
                kept = 1 - 0.4 * 0.1 if name == "AdamW" else 1
                theta = kept * theta - 0.4 * mean / (np.sqrt(square) + EPS)
            case "clipping":
                theta = theta - 0.4 * g / max(1.0, np.sqrt(np.sum(g**2)))


def by_optim(name: str, theta: np.ndarray) -> Iterator[np.ndarray]:
    """The same with the gradient of the engine and an optimiser."""
    point = tg.Tensor(theta.copy(), requires_grad=True)
    optimizer = OPTIMIZERS[name]([point])
    schedule = optim.CosineAnnealingLR(optimizer, STEPS) if name == "schedule" else None
    for _ in range(STEPS):
        yield point.data.copy()
        optimizer.zero_grad()
        surface(point[0], point[1]).backward()
        if name == "clipping":
            optim.clip_grad_norm_([point], 1.0)
        optimizer.step()
        if schedule:
            schedule.step()


def run(seed: int, quick: bool = False) -> float:
    """The largest difference between points of the walks, from a random start."""
    start = np.random.default_rng(seed).uniform(-5, 5, 2)
    walks = [([*by_hand(name, start)], [*by_optim(name, start)]) for name in OPTIMIZERS]
    return float(np.max([np.abs(np.subtract(*pair)) for pair in walks]))


def reached(figure: float, quick: bool = False) -> bool:
    """Whether they are equal, up to rounding."""
    return figure <= 1e-12


def picture(folder: Path) -> Path:
    """Draw every walk over the contour lines of the surface; a star marks the lowest point."""
    from matplotlib.figure import Figure  # the extra `plot`

    (a, b), figure = np.mgrid[-6:6:121j, -3:3:61j], Figure(figsize=(10, 4.6), layout="constrained")
    places = figure.subplots(2, 4, sharex=True, sharey=True).flat
    for axes, name in zip(places, OPTIMIZERS, strict=True):
        axes.contour(a, b, surface(a, b), [0.1, 0.5, 2, 6, 14], colors="0.7", antialiased=False)
        axes.plot(*zip(*by_optim(name, START), strict=True), ".-", 0, 0, "k*", linewidth=1)
        axes.set(title=name, xlabel="a", ylabel="b")
        axes.label_outer()
    write_aside(path := folder / "11_gradient_descent.png", figure.savefig)
    return path


if __name__ == "__main__":
    for name in OPTIMIZERS:
        *_, (a, b) = by_optim(name, START)
        print(f"{name:<9} point {STEPS} is ({a:+.4f}, {b:+.4f}), f = {surface(a, b):.1e}")
    print(f"optimisers and reference at most {run(0):.1e} apart ({ASKED})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

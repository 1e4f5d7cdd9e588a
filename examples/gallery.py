"""Pictures worth a slide, and pages that step through them: what docs/gallery.md shows.

Each function below makes a small computation and returns its result with the names to call things
by. Run it to write all pictures anew: `python examples/gallery.py [FOLDER]`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from viz import draw, explain

Named = dict[str, Tensor]


def parameter(numbers: object) -> Tensor:
    """A Tensor that gets a gradient."""
    return Tensor(numbers, requires_grad=True)


def one_expression() -> Named:
    """An expression of two numbers."""
    x, y = parameter(2.0), parameter(0.5)
    return {"x": x, "y": y, "f": x * y + np.sin(x)}


def one_neuron() -> Named:
    """A neuron with two inputs, its error, and how the error depends on each weight."""
    x, target = Tensor([[1.0, -2.0]]), Tensor([[1.0]])
    w, b = parameter([[0.5], [0.25]]), parameter(0.1)
    out = tg.sigmoid(x @ w + b)
    error = np.sum((out - target) ** 2) / 2
    return {"x": x, "w": w, "b": b, "target": target, "out": out, "error": error}


def softmax_cross_entropy() -> Named:
    """Softmax and cross-entropy, step by step, where a library has one op."""
    z = parameter([[1.0, 2.0, 0.5], [0.0, -1.0, 1.5]])
    onehot = Tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    log_p = z - tg.logsumexp(z, axis=1, keepdims=True)
    return {"z": z, "onehot": onehot, "log_p": log_p, "loss": -np.sum(onehot * log_p) / 2}


def mlp_step() -> Named:
    """One step of a network with a hidden layer, and a penalty on its weights: W1 is used twice."""
    X, y = Tensor([[1.0, 0.5], [-1.0, 2.0], [0.0, -0.5]]), Tensor([[1.0], [0.0], [0.5]])
    W1, b1 = parameter([[0.5, -0.25, 1.0], [0.75, 0.5, -0.5]]), parameter([0.0, 0.1, -0.1])
    W2 = parameter([[1.0], [-0.5], [0.25]])
    with tg.scope("layer1"):
        h = np.tanh(X @ W1 + b1)
    with tg.scope("layer2"):
        p = h @ W2
    with tg.scope("loss"):
        loss = np.mean((p - y) ** 2) + 0.1 * np.sum(W1**2)
    return {"X": X, "y": y, "W1": W1, "b1": b1, "W2": W2, "h": h, "p": p, "loss": loss}


def rnn() -> Named:
    """A recurrent cell over four steps: the same weights at every step, so four contributions."""
    W, U = parameter([[0.5, -0.5], [0.25, 0.75]]), parameter([[1.0, 0.5]])
    named = {"W": W, "U": U, "h0": Tensor([[0.0, 0.0]])}
    for t in range(1, 5):
        x = Tensor([[1.0 / t]])
        with tg.scope("cell"):
            h = np.tanh(named[f"h{t - 1}"] @ W + x @ U)
        named |= {f"x{t}": x, f"h{t}": h}
    return named | {"loss": np.sum(named["h4"] ** 2)}


def second_derivative() -> Named:
    """The backward pass is a graph as well: draw the gradient, and step through *its* gradient."""
    x = parameter(0.5)
    y = np.tanh(x)
    with tg.scope("backward"):
        seed = Tensor(1.0)
        slope = tg.gradients(y, x, g=seed, create_graph=True)
    return {"x": x, "y": y, "seed": seed, "slope": slope}


def fan_out() -> Named:
    """A value that is used twice gets two contributions, and passes on their sum."""
    a = parameter(2.0)
    b = 2.0 * a
    return {"a": a, "b": b, "c": b + b * b}


def gated_mlp() -> Named:
    """LLaMA's MLP: down(silu(gate(x)) * up(x))."""
    x = Tensor([[1.0, -0.5], [0.25, 2.0]])
    gate, up = parameter([[0.5, 1.0, -1.0], [0.25, -0.5, 0.75]]), parameter([[1.0] * 3, [-1.0] * 3])
    down = parameter([[0.5, 0.0], [0.0, 0.5], [1.0, -1.0]])
    with tg.scope("gate"):
        gated = tg.silu(x @ gate) * (x @ up)
    with tg.scope("down"):
        out = gated @ down
    named = {"x": x, "W_gate": gate, "W_up": up, "W_down": down, "gated": gated, "out": out}
    return named | {"loss": np.mean(out**2)}


def along_paths(result: Tensor) -> list[tg.Edge]:
    """What goes wrong without an order: each gradient is passed on as soon as it arrives."""
    edges: list[tg.Edge] = []
    totals: dict[Tensor, np.ndarray] = {result: np.ones_like(result.numpy())}

    def pass_on(output: Tensor) -> None:
        if output.node is None:
            return
        op, inputs, options = output.node
        values = [np.asarray(x.detach()) if isinstance(x, Tensor) else x for x in inputs]
        upstream = totals[output]
        for rule, source in zip(op.rules, inputs, strict=True):
            if isinstance(source, Tensor) and source.requires_grad:
                share = np.asarray(rule.vjp(upstream, output.numpy(), *values, **options))
                before = totals.get(source)
                after = totals[source] = share if before is None else before + share
                edge = (upstream, share, before, after, output, source)
                edges.append(tg.Edge(op.name, rule.argument, *edge))
                pass_on(source)  # too early: more may come

    pass_on(result)
    return edges


PICTURES: dict[str, Callable[[], Named]] = {
    "One expression": one_expression,
    "One neuron": one_neuron,
    "Softmax and cross-entropy": softmax_cross_entropy,
    "One step of a network": mlp_step,
    "A recurrent cell over four steps": rnn,
    "A second derivative": second_derivative,
    "Fan-out": fan_out,
    "LLaMA's MLP": gated_mlp,
}


def write(folder: Path) -> None:
    """Write a picture and a page for each, and the page that shows why the order matters."""
    for title, make in PICTURES.items():
        named = make()
        *_, result = named.values()
        picture = draw(result, names=named, engine="builtin", direction="TB")
        picture.save(folder / f"{make.__name__}.svg")
        explain(result, folder / f"{make.__name__}.html", names=named, title=title)
    named = fan_out()
    right: list[tg.Edge] = []
    with tg.observe(right.append):
        tg.gradients(named["c"], named["a"], retain_graph=True)
    explain(
        named["c"],
        folder / "why_the_order_matters.html",
        names=named,
        title="Why the order matters",
        passes={
            "In topological order (the engine)": right,
            "Along every path, without an order (wrong)": along_paths(named["c"]),
        },
    )


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs/gallery")
    write(target)
    print(f"{len(PICTURES)} pictures and {len(PICTURES) + 1} pages in {target}")

"""The tour that `tinygrad-edu demo` gives: a network from primitive ops, checked, trained, drawn.

Read it top to bottom: the network, its gradient by hand, its gradient by central differences, the
training loop, and then how all of that is shown. Everything above `run` is what you would write
yourself.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import tinygrad_edu as tg
from tinygrad_edu.data import Digits, load_digits
from tinygrad_edu.data.files import write_aside

PIXELS, HIDDEN, CLASSES = 64, 64, 10
RATE, BATCH = 0.5, 16  # chosen by cross-validation on the training part; the test part had no say
STEP = 1e-5  # of the central differences: rounding and curvature errors are about equal there
HAND_TOLERANCE, CENTRAL_TOLERANCE = 1e-12, 1e-6
KINK = 1e-3  # how near to max(0, z)'s kink a central difference is not trusted

Floats = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]


def network(X: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    """Compute the logits (N, 10) of images (N, 64); plain arrays in, plain arrays out."""
    H = np.maximum(X @ W1 + b1, 0)
    return H @ W2 + b2


def initial_parameters(rng: np.random.Generator) -> dict[str, Floats]:
    """Draw weights as Glorot and Bengio (2010, eq. 16) do; biases start at 0."""

    def weights(n_in: int, n_out: int) -> Floats:
        limit = np.sqrt(6 / (n_in + n_out))
        return rng.uniform(-limit, limit, (n_in, n_out))

    return {
        "W1": weights(PIXELS, HIDDEN),
        "b1": np.zeros(HIDDEN),
        "W2": weights(HIDDEN, CLASSES),
        "b2": np.zeros(CLASSES),
    }


def as_tensors(arrays: dict[str, Floats], dtype: type[np.floating[Any]]) -> dict[str, tg.Tensor]:
    """Make the parameters something whose gradient can be asked for."""
    return {
        name: tg.Tensor(a, requires_grad=True, name=name, dtype=dtype) for name, a in arrays.items()
    }


def gradients_by_engine(X: Floats, labels: Labels, arrays: dict[str, Floats]) -> dict[str, Floats]:
    """Ask the engine: run the network on Tensors, then walk its graph backward."""
    parameters = as_tensors(arrays, np.float64)
    loss = tg.cross_entropy(network(X, **parameters), labels)
    loss.backward()
    return {name: parameter.grad for name, parameter in parameters.items()}


def gradients_by_hand(X: Floats, labels: Labels, arrays: dict[str, Floats]) -> dict[str, Floats]:
    """Work the chain rule out on paper, from the loss back to the first layer.

    With Z1 = X W1 + b1, H = max(Z1, 0), Z2 = H W2 + b2, P = softmax(Z2), and Y the labels as rows
    with a single 1, the loss is L = -1/N sum_nk Y_nk log P_nk. Then

        dL/dZ2 = (P - Y) / N           since d log P_k / dZ_j = [j = k] - P_j, and sum_k Y_k = 1
        dL/dW2 = H^T dL/dZ2            since Z2_nk = sum_j H_nj W2_jk + b2_k
        dL/db2 = sum_n dL/dZ2          every row got the same b2
        dL/dH  = dL/dZ2 W2^T
        dL/dZ1 = dL/dH  where Z1 > 0   max(z, 0) has slope 1 there, and 0 where z < 0
        dL/dW1 = X^T dL/dZ1
        dL/db1 = sum_n dL/dZ1
    """
    W1, b1, W2, b2 = arrays.values()
    Z1 = X @ W1 + b1
    H = np.maximum(Z1, 0)
    P = np.exp(log_softmax(H @ W2 + b2))
    Y = np.eye(CLASSES)[labels]

    dZ2 = (P - Y) / len(X)
    dZ1 = dZ2 @ W2.T * (Z1 > 0)
    return {"W1": X.T @ dZ1, "b1": dZ1.sum(axis=0), "W2": H.T @ dZ2, "b2": dZ2.sum(axis=0)}


def gradients_by_central_differences(
    X: Floats, labels: Labels, arrays: dict[str, Floats]
) -> dict[str, Floats]:
    """Nudge each parameter up and down and watch the loss; no calculus at all."""
    nudged = {name: a.copy() for name, a in arrays.items()}
    gradients = {name: np.empty_like(a) for name, a in arrays.items()}
    for name, a in nudged.items():
        for index in np.ndindex(a.shape):
            kept = a[index]
            a[index] = kept + STEP
            above = numpy_loss(X, labels, nudged)
            a[index] = kept - STEP
            below = numpy_loss(X, labels, nudged)
            a[index] = kept
            gradients[name][index] = (above - below) / (2 * STEP)
    return gradients


def numpy_loss(X: Floats, labels: Labels, arrays: dict[str, Floats]) -> float:
    """Compute the mean cross-entropy in NumPy alone, so that it vouches for ours."""
    log_P = log_softmax(network(X, **arrays))
    return float(-log_P[np.arange(len(X)), labels].mean())


def log_softmax(Z: Floats) -> Floats:
    """Compute log(exp(Z) / sum(exp(Z))) per row; the shift keeps exp from overflowing."""
    shifted = Z - Z.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


class Epoch(NamedTuple):
    """How one pass over the training digits went; accuracies between 0 and 1."""

    number: int
    loss: float
    train_accuracy: float
    test_accuracy: float


def train(
    parameters: dict[str, tg.Tensor], digits: Digits, epochs: int, rng: np.random.Generator
) -> Iterator[Epoch]:
    """Descend along the gradient of one mini-batch after the other; yield after every epoch."""
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(digits.train_labels))
        losses = []
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            logits = network(digits.train_images[batch], **parameters)
            loss = tg.cross_entropy(logits, digits.train_labels[batch])
            loss.backward()
            for parameter in parameters.values():
                parameter.data -= RATE * parameter.grad
                parameter.zero_grad()
            losses.append(loss.item())
        yield Epoch(
            epoch,
            float(np.mean(losses)),
            accuracy(parameters, digits.train_images, digits.train_labels),
            accuracy(parameters, digits.test_images, digits.test_labels),
        )


def predict(parameters: dict[str, tg.Tensor], images: Floats) -> Labels:
    """Choose the digit with the largest logit; on plain arrays, so that nothing is recorded."""
    logits = network(images, **{name: p.data for name, p in parameters.items()})
    return np.asarray(np.argmax(logits, axis=1))


def accuracy(parameters: dict[str, tg.Tensor], images: Floats, labels: Labels) -> float:
    """Compute the share of images that are read right."""
    return float(np.mean(predict(parameters, images) == labels))


def run(seed: int, epochs: int, out: Path) -> int:
    """Give the tour; return 0, or 1 if a gradient was wrong.

    Args:
        seed: of the first weights and of the order of the digits.
        epochs: how often every digit is seen.
        out: folder for the pictures, made if needed.
    """
    out.mkdir(parents=True, exist_ok=True)  # first, so that a wrong path is told at once
    digits = load_digits()
    screen = _Screen()
    rng = np.random.default_rng(seed)

    screen.title(f"tinygrad_edu {tg.__version__}: an autograd engine on NumPy")
    _show_data(screen, digits)
    arrays = initial_parameters(rng)
    _show_network(screen, arrays)
    right = _compare_gradients(screen, digits, arrays)
    parameters = as_tensors(arrays, np.float32)
    history = _train(screen, digits, parameters, epochs, rng)
    _show_exam(screen, digits, parameters)
    _draw(screen, digits, arrays, history, out)
    _show_what_next(screen, out)
    return 0 if right else 1


def _show_data(screen: _Screen, digits: Digits) -> None:
    learn, test = len(digits.train_labels), len(digits.test_labels)
    screen.title("1. The data")
    screen.say(f"{learn + test:,} handwritten digits of 8 x 8 pixels:")
    screen.say(f"{learn:,} to learn from, and {test} put aside for the exam. Four of them:")
    screen.images(digits.train_images[:4], [str(label) for label in digits.train_labels[:4]])


def _show_network(screen: _Screen, arrays: dict[str, Floats]) -> None:
    count = sum(a.size for a in arrays.values())
    screen.title("2. The network")
    screen.say("Written in NumPy; what makes it learn is that W1, b1, W2 and b2 are Tensors:")
    screen.say()
    screen.say("    H      = np.maximum(X @ W1 + b1, 0)          64 pixels -> 64 hidden units")
    screen.say("    logits = H @ W2 + b2                         64 units  -> 10 digits")
    screen.say("    loss   = tg.cross_entropy(logits, labels)    one number, to be made small")
    screen.say()
    screen.say(f"It has {count:,} parameters, and needs the slope of the loss along each of them.")


def _compare_gradients(screen: _Screen, digits: Digits, arrays: dict[str, Floats]) -> bool:
    X, labels = _away_from_kinks(digits, arrays, count=8)
    count = sum(a.size for a in arrays.values())

    screen.title("3. Are the gradients right?")
    screen.say(f"The same gradient, three ways, on {len(X)} digits in float64:")
    screen.say()
    screen.say("    engine    loss.backward()")
    screen.say("    hand      the chain rule on paper; see `gradients_by_hand` in demo.py")
    screen.say(f"    central   (loss(w + {STEP:g}) - loss(w - {STEP:g})) / {2 * STEP:g}, w by w,")
    screen.say(f"              for all {count:,} parameters")
    screen.say()
    started = time.perf_counter()
    engine = gradients_by_engine(X, labels, arrays)
    hand = gradients_by_hand(X, labels, arrays)
    central = gradients_by_central_differences(X, labels, arrays)
    seconds = time.perf_counter() - started

    screen.say("                                         |------ largest difference ------|", "dim")
    screen.say("    parameter  shape     max |gradient|   engine - hand   engine - central", "bold")
    right = True
    for name, gradient in engine.items():
        size = float(np.abs(gradient).max())
        from_hand = float(np.abs(gradient - hand[name]).max())
        from_central = float(np.abs(gradient - central[name]).max())
        agrees = from_hand <= HAND_TOLERANCE * (1 + size) and from_central <= CENTRAL_TOLERANCE
        right &= agrees
        shape = " x ".join(map(str, gradient.shape))
        line = (
            f"    {name:<9}  {shape:<8}  {size:>14.4f}  {from_hand:>14.1e}  {from_central:>17.1e}"
        )
        screen.say(line if agrees else line + "   WRONG", "" if agrees else "red")
    screen.say()
    if right:
        screen.say("All three agree: what differs is rounding, and the width of the step.", "green")
        screen.say(f"({seconds:.1f} s, nearly all of it for the central differences.)")
    else:
        screen.say("They do NOT agree. A rule of the engine or a formula is wrong.", "bold red")
    return right


def _away_from_kinks(
    digits: Digits, arrays: dict[str, Floats], count: int
) -> tuple[Floats, Labels]:
    """Pick the first digits for which no nudge can push a hidden unit over the kink of max(0, z).

    There the slope jumps, and a central difference shows the mean of both slopes: it would be
    wrong, not the gradient.
    """
    X = digits.train_images.astype(np.float64)
    Z1 = X @ arrays["W1"] + arrays["b1"]
    chosen = np.flatnonzero(np.abs(Z1).min(axis=1) > KINK)[:count]
    return X[chosen], digits.train_labels[chosen]


def _train(
    screen: _Screen,
    digits: Digits,
    parameters: dict[str, tg.Tensor],
    epochs: int,
    rng: np.random.Generator,
) -> list[Epoch]:
    steps = -(-len(digits.train_labels) // BATCH)
    screen.title("4. Training")
    screen.say(f"{epochs} epochs of {steps} steps, in float32. A step looks at {BATCH} digits, and")
    screen.say(f"moves every parameter by -{RATE} times its gradient.")
    screen.say()
    history = []
    started = time.perf_counter()
    with screen.progress(epochs) as show:
        for epoch in train(parameters, digits, epochs, rng):
            history.append(epoch)
            show(epoch)
    seconds = time.perf_counter() - started
    screen.say()
    screen.say(
        f"{epochs * steps:,} steps in {seconds:.1f} s: {1e6 * seconds / (epochs * steps):.0f} "
        "microseconds each."
    )
    return history


def _show_exam(screen: _Screen, digits: Digits, parameters: dict[str, tg.Tensor]) -> None:
    read = predict(parameters, digits.test_images)
    wrong = np.flatnonzero(read != digits.test_labels)
    count = len(digits.test_labels)
    screen.title("5. The exam")
    screen.say(f"Of {count} digits that it never saw, it reads {count - len(wrong)} right:")
    screen.say(f"{1 - len(wrong) / count:.1%} test accuracy.", "green")
    if len(wrong):
        screen.say()
        screen.say("Would you have read these? It did not:")
        shown = wrong[:4]
        captions = [f"{digits.test_labels[i]}, read as {read[i]}" for i in shown]
        screen.images(digits.test_images[shown], captions)


def _draw(
    screen: _Screen,
    digits: Digits,
    arrays: dict[str, Floats],
    history: list[Epoch],
    out: Path,
) -> None:
    from viz import draw  # on demand: the package works without its pictures

    screen.title("6. Pictures")
    X = tg.Tensor(digits.train_images[:BATCH], name="X")
    labels = tg.Tensor(digits.train_labels[:BATCH], name="labels")
    logits = network(X, **as_tensors(arrays, np.float32))
    loss = tg.cross_entropy(logits, labels)
    loss.backward(retain_graph=True)  # or there would be no graph left to draw
    draw(loss, names={"logits": logits, "loss": loss}).save(out / "graph.svg")
    screen.say(f"{out / 'graph.svg'}    the graph of one step, with its gradients")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        screen.say("No learning curves: they need matplotlib, pip install 'tinygrad-edu[plot]'.")
        return
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    _plot_curves(figure, history)
    write_aside(out / "curves.png", figure.savefig)
    screen.say(f"{out / 'curves.png'}   loss and accuracy, epoch by epoch")


def _plot_curves(figure: Any, history: list[Epoch]) -> None:
    epochs, loss, train_accuracy, test_accuracy = zip(*history, strict=True)
    left, right = figure.subplots(1, 2)
    marker = "." if len(history) < 60 else ""
    left.semilogy(epochs, loss, marker=marker)
    left.set(title="Loss on the training digits", xlabel="epoch", ylabel="mean cross-entropy")
    right.plot(epochs, train_accuracy, marker=marker, label="training digits")
    right.plot(epochs, test_accuracy, marker=marker, label="test digits")
    right.set(title="Digits read right", xlabel="epoch")
    right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    right.legend()
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)


def _program() -> str:
    """What to type to start this program: its name, or the path if it is not where shells look."""
    if shutil.which("tinygrad-edu"):
        return "tinygrad-edu"
    return os.path.relpath(Path(sys.executable).with_name("tinygrad-edu"))


def _show_what_next(screen: _Screen, out: Path) -> None:
    screen.title("What next")
    screen.say("Open the graph in a browser, and follow the gradient back from the loss:")
    screen.say(f"    {out / 'graph.svg'}")
    screen.say("Read the network, the derivation and the training loop, in this order:")
    screen.say(f"    {_nearby(Path(__file__))}")
    screen.say("Train from another start, or not as long:")
    screen.say(f"    {_program()} demo --seed 1 --epochs 10")
    screen.say("Take a gradient yourself, in Python:")
    screen.say("    import numpy as np, tinygrad_edu as tg")
    screen.say("    x = tg.Tensor([1.0, 2.0], requires_grad=True)")
    screen.say("    np.sum(x**3).backward()")
    screen.say("    print(x.grad)  # 3 x**2: [ 3. 12.]")


def _nearby(path: Path) -> Path:
    """Shorten a path where it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class _Screen:
    """Where the tour is shown: with rich if it is installed, in plain lines otherwise."""

    def __init__(self) -> None:
        self._shades = " .:-=+*#%@"
        try:
            from rich.console import Console
        except ImportError:
            self._console = None
        else:
            self._console = Console(highlight=False, markup=False, soft_wrap=True)

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line."""
        if self._console is None:
            print(text)
        else:
            self._console.print(text, style=style or None)

    def title(self, text: str) -> None:
        """Print the heading of a part."""
        self.say()
        self.say(text, "bold cyan")

    def images(self, images: Floats, captions: list[str]) -> None:
        """Print 8 x 8 images side by side, two characters to a pixel, which makes it square."""
        steps = len(self._shades) - 1
        self.say()
        for row in range(8):
            strips = (
                "".join(2 * self._shades[round(float(v) * steps)] for v in image)
                for image in images.reshape(-1, 8, 8)[:, row]
            )
            self.say(("    " + "   ".join(strips)).rstrip())
        self.say(("    " + "   ".join(f"{caption:^16}" for caption in captions)).rstrip())

    @contextmanager
    def progress(self, epochs: int) -> Iterator[Callable[[Epoch], None]]:
        """Show how training goes: a bar on a terminal, a dozen lines anywhere else."""
        if self._console is None:
            self.say("(Plain lines. For a progress bar: pip install 'tinygrad-edu[progress]')")
        if self._console is None or not self._console.is_interactive:
            self.say("    epoch    loss   training   test digits read right", "bold")
            yield lambda epoch: self._show_epoch(epoch, epochs)
            return
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            TextColumn("    epoch {task.completed:>2}/{task.total}"),
            BarColumn(bar_width=30),
            TextColumn("{task.description}"),
            console=self._console,
        )
        with bar:
            task = bar.add_task("", total=epochs)
            yield lambda epoch: bar.update(
                task,
                completed=epoch.number,
                description=f"loss {epoch.loss:.4f}   test accuracy {epoch.test_accuracy:.1%}",
            )

    def _show_epoch(self, epoch: Epoch, epochs: int) -> None:
        if epoch.number % max(1, epochs // 10) == 0 or epoch.number in (1, epochs):
            self.say(
                f"    {epoch.number:>5}  {epoch.loss:.4f}   {epoch.train_accuracy:>8.1%}   "
                f"{epoch.test_accuracy:>6.1%}"
            )

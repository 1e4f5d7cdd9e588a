"""A recurrent network learns a nursery rhyme, letter by letter.

    h_t = tanh(x_t Wᵀ + h_{t-1} Uᵀ + b)

The same W, U and b at every step, so a sequence may have any length; h carries what was read. The
error of step t goes back through all steps before it (back-propagation through time), and each
multiplies it by U and a slope of tanh: it may explode (15_vanishing_gradients.py). Clipping mends
it: keep the direction, limit the length. This network starts with a U that stretches by 1.3.
Source: J. Elman, "Finding Structure in Time" (1990).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import data, nn
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import SGD, CosineAnnealingLR

ROWS, SEEDS = (13,), 5
ASKED = "< 1 bit per character of the text, and without clipping over 1 bit more"
LETTERS, LENGTHS, ALPHABET = data.index_words(map(list, data.house_that_jack_built().split("\n\n")))
ONE_HOT = np.eye(len(ALPHABET), dtype=np.float32)
Array = Any


def rnn(x: Array, h: Array, W: Array, U: Array, b: Array) -> Array:
    """The formula, from primitive ops: x (T, N, n) and h (N, H) to all states (T, N, H)."""
    states = [h]
    for x_t in x:
        states.append(np.tanh(x_t @ W.T + states[-1] @ U.T + b))
    return np.stack(states[1:])


def apart(steps: int = 20) -> float:
    """The largest difference between ops and layer: states, and gradients by all that goes in."""
    rng = np.random.default_rng(0)
    layer, x = nn.RNN(4, 8, rng=rng), tg.Tensor(rng.normal(size=(steps, 3, 4)), requires_grad=True)
    W, U, b = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0 + layer.bias_hh_l0
    leaves, g = [x, *layer.parameters()], rng.normal(size=(steps, 3, 8))
    both = rnn(x, np.zeros((3, 8)), W, U, b), layer(x)[0]
    answers = [[y.numpy(), *tg.gradients(y, leaves, g)] for y in both]
    return max(np.abs(a - b).max() for a, b in zip(*answers, strict=True))


class LanguageModel(nn.Module):
    """What comes next? Numbers of letters (N, T) to scores of the next ones (N, T, letters)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rnn = nn.RNN(len(ALPHABET), 64, batch_first=True, rng=rng, dtype=np.float32)
        self.rnn.weight_hh_l0.data = nn.init.orthogonal((64, 64), 1.3, rng=rng, dtype=np.float32)
        self.output = nn.Linear(64, len(ALPHABET), rng=rng, dtype=np.float32)

    def forward(self, letters: Array, lengths: Array) -> Array:
        """Letters beyond the `lengths` (N,) are not read."""
        return self.output(self.rnn(ONE_HOT[letters], lengths=lengths)[0])


def bits(scores: Array, letters: Array) -> Array:
    """The mean over all letters of -log2 p(letter)."""
    flat = scores.reshape((-1, len(ALPHABET)))
    return tg.cross_entropy(flat, letters.ravel(), ignore_index=0) / np.log(2)


def train(seed: int, epochs: int = 500, clip_norm: Any = 0.5, verses: int = 11) -> tuple[Any, Any]:
    """All verses are one batch, each with its own length."""
    model, lengths = LanguageModel(np.random.default_rng(seed)), LENGTHS[:verses]
    targets = LETTERS[:verses, : max(lengths)]
    shown = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]  # the letters before, 0 before the first
    batches, optimizer = [(shown, lengths, targets)], SGD(model.parameters(), lr=0.5)
    options: Any = {"schedule": CosineAnnealingLR(optimizer, epochs), "clip_norm": clip_norm}
    options |= {"metric": None, "progress": __name__ == "__main__"}
    return model, nn.fit(model, batches, bits, optimizer, epochs, **options)


def sample(model: LanguageModel, rng: np.random.Generator, longest: int = 400) -> str:
    """Draw letter after letter, and show it to the network; its own mistakes confuse it."""
    text, letter, state = "", 0, None
    while len(text) < longest and not text.endswith("."):
        states, state = model.rnn(ONE_HOT[[[letter]]], state)
        p = tg.softmax(9 * model.output(states[0, 0]).numpy().astype(float))  # 9: not daring
        text += ALPHABET[letter := rng.choice(len(p), p=p)]
    return text


def run(seed: int, quick: bool = False) -> float:
    """Bits per character with clipping; infinite if without it they are not one bit more."""
    epochs, verses = (100, 6) if quick else (500, 11)
    clipped, free = (train(seed, epochs, norm, verses)[1][-1].loss for norm in (0.5, None))
    return clipped if free > clipped + 1 or quick else float("inf")


def reached(figure: float, quick: bool = False) -> bool:
    """Who knows nothing of the 27 characters needs 4.75 bits; their frequencies save 0.6."""
    return figure < (3 if quick else 1)


def picture(folder: Path) -> Path:
    """The loss with clipping and without, from the same start."""
    from matplotlib.figure import Figure  # the extra `plot`

    axes: Any = (figure := Figure(figsize=(7, 3.5), layout="constrained")).add_subplot()
    for norm, label in ((None, "not clipped"), (0.5, "clipped to norm 0.5")):
        axes.plot(train(0, clip_norm=norm)[1].column("loss"), label=label, linewidth=1)
    axes.set(xlabel="epoch", ylabel="bits per character", ylim=(0, 8), title="A rhyme is learnt")
    axes.legend(title="gradient")
    write_aside(path := folder / "13_rnn.png", figure.savefig)
    return path


if __name__ == "__main__":
    print(f"ops - layer, states and gradients: {apart():.0e}")
    (model, clipped), (_, free) = train(0), train(0, clip_norm=None)
    print(sample(model, np.random.default_rng(0)))
    print(f"asked: {ASKED}; {clipped[-1].loss:.3f} (without clipping {free[-1].loss:.3f})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

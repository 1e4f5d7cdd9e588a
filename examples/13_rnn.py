"""A recurrent network learns a nursery rhyme, letter by letter.

    h_t = tanh(x_t Wᵀ + h_{t-1} Uᵀ + b)

The same W, U and b at every step, so a sequence may have any length; h carries what was read. To
predict the next letter, a linear layer and a softmax look at h. The error of step t goes back
through all steps before it (back-propagation through time), and each multiplies it by U and by a
slope of tanh: it may explode (15_vanishing_gradients.py), and throw the weights far away. Clipping
mends it: keep the direction, limit the length. The network here starts with a U that stretches
vectors by 1.3, and learns far more safely with clipping. Bits per character say how surprising the
text still is: 4.75 if all 27 letters are alike.
Source: J. Elman, "Finding Structure in Time" (1990).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import data, nn
from tinygrad_edu.optim import SGD, CosineAnnealingLR

ROWS = (13,)
ASKED = "< 1 bit per character of the text"
SEEDS = 5
VERSES = [f"{verse}\n" for verse in data.house_that_jack_built().rstrip().split("\n\n")]
ALPHABET = data.index_characters("".join(VERSES))[1]

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
        onehot = np.eye(len(ALPHABET), dtype=np.float32)[letters]
        return self.output(self.rnn(onehot, lengths=lengths)[0])


def bits(scores: Array, letters: Array) -> Array:
    """The mean over all letters of -log2 p(letter)."""
    flat = scores.reshape((-1, len(ALPHABET)))
    return tg.cross_entropy(flat, letters.ravel(), ignore_index=data.PADDING) / np.log(2)


def train(seed: int, epochs: int = 500, clip_norm: Any = 0.5, verses: int = 11) -> tuple[Any, Any]:
    """All verses are one batch, each with its own length; the start is shown as a line break."""
    model = LanguageModel(np.random.default_rng(seed))
    lengths = np.array([len(verse) for verse in VERSES[:verses]])
    targets = np.full((verses, max(lengths)), data.PADDING)
    for row, verse in zip(targets, VERSES, strict=False):
        row[: len(verse)] = [ALPHABET.index(letter) for letter in verse]
    shown = np.pad(np.maximum(targets, 0), ((0, 0), (1, 0)))[:, :-1]  # ALPHABET[0] is "\n"
    batches, optimizer = [(shown, lengths, targets)], SGD(model.parameters(), lr=0.5)
    options: Any = {"schedule": CosineAnnealingLR(optimizer, epochs), "clip_norm": clip_norm}
    options |= {"metric": None, "progress": False}
    return model, nn.fit(model, batches, bits, optimizer, epochs, **options)


def sample(model: LanguageModel, rng: np.random.Generator, longest: int = 400) -> str:
    """Draw letter after letter, each shown to the network as the one before the next."""
    text, state, eye = "\n", None, np.eye(len(ALPHABET), dtype=np.float32)
    while len(text) < longest and not text.endswith(".\n"):
        states, state = model.rnn(eye[[[ALPHABET.index(text[-1])]]], state)
        p = tg.softmax(model.output(states[0, 0]).numpy().astype(float), axis=0)
        text += ALPHABET[rng.choice(len(ALPHABET), p=p)]
    return text.strip()


def run(seed: int, quick: bool = False) -> float:
    """Bits per character, with clipping."""
    return (train(seed, 60, verses=4) if quick else train(seed))[1][-1].loss


def reached(figure: float, quick: bool = False) -> bool:
    """The frequencies of letters alone give 4.1 bits."""
    return figure < (3 if quick else 1)


def picture(folder: Path) -> Path:
    """The loss with clipping."""
    folder.mkdir(parents=True, exist_ok=True)
    train(0, epochs=200)[1].plot(path := folder / "13_rnn.png", "bits per character, clipped")
    return path


if __name__ == "__main__":
    print(f"ops - layer, states and gradients: {apart():.0e}")
    (model, clipped), (_, free) = train(0), train(0, clip_norm=None)
    print(sample(model, np.random.default_rng(0)))
    print(f"asked: {ASKED}; {clipped[-1].loss:.3f} (without clipping {free[-1].loss:.3f})")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

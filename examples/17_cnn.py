"""A convolutional network reads handwritten digits.

A convolution lays the same small kernel over every place of an image and sums what lies under it:

    y[n, o, p, q] = b[o] + Σ_c Σ_i Σ_j x[n, c, p s + i d, q s + j d] · w[o, c, i, j]

with stride s and dilation d; the image may be padded with zeros, and with groups an output sees
some of the input channels only. Few weights (they are shared by all places), and what is learnt in
one corner is known in all others. Pooling takes the largest (or the mean) of each window: a digit
that is moved by a pixel gives nearly the same.

The formula from primitive ops must equal `nn.Conv2d`. The network is in the manner of LeNet (Y.
LeCun et al. 1998): convolution and pooling twice, and two linear layers on top.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import data, nn
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.optim import AdamW, CosineAnnealingLR

ROWS, ASKED, SEEDS = (17,), "digits: test accuracy >= 98 %", 5
SHOWN = __name__ == "__main__"  # training shows how it goes
Array = Any


def convolve(
    x: Array, w: Array, b: Array, stride: int, padding: int, dilation: int, groups: int
) -> Array:
    """The formula: for each place (i, j) of the kernel a shifted image times one matrix.

    x (N, C, H, W), w (O, C/groups, h, w), b (O,); the result is (N, O, H', W').
    """
    if groups > 1:  # each has its share of the channels; the results stand side by side
        parts = zip(np.split(x, groups, 1), np.split(w, groups), np.split(b, groups), strict=True)
        return np.concatenate([convolve(*part, stride, padding, dilation, 1) for part in parts], 1)
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = (x.shape[axis] - dilation * (w.shape[axis] - 1) for axis in (2, 3))
    total = 0.0
    for i, j in np.ndindex(*w.shape[2:]):
        top, left = i * dilation, j * dilation
        shifted = x[:, :, top : top + rows : stride, left : left + columns : stride]
        total = total + np.einsum("ncpq,oc->nopq", shifted, w[:, :, i, j])
    return total + b.reshape((-1, 1, 1))


def apart(*settings: int) -> float:
    """The largest difference between formula and layer: values, and gradients of x, w, b."""
    rng = np.random.default_rng(0)
    x = tg.Tensor(rng.normal(size=(2, 4, 9, 8)), requires_grad=True)
    layer = nn.Conv2d(4, 6, 3, *settings, rng=rng)
    leaves, answers = [x, layer.weight, layer.bias], []
    for y in (convolve(*leaves, *settings), layer(x)):
        g = np.cos(np.arange(y.size)).reshape(y.shape)
        answers.append([y.numpy(), *tg.gradients(y, leaves, g)])
    return max(np.abs(a - b).max() for a, b in zip(*answers, strict=True))


def lenet(rng: np.random.Generator) -> nn.Sequential:
    """From images (N, 1, 8, 8) to 32 channels of 4 x 4, to 64 of 2 x 2, to 64 units, to 10."""
    options: Any = {"rng": rng, "dtype": np.float32}

    def convolution(channels: int, more: int) -> list[nn.Module]:
        layer = nn.Conv2d(channels, more, kernel_size=3, padding=1, **options)
        return [layer, nn.BatchNorm2d(more, dtype=np.float32), nn.ReLU()]

    parts = [*convolution(1, 32), nn.MaxPool2d(2), *convolution(32, 64), nn.AvgPool2d(2)]
    parts += [nn.Flatten(), nn.Dropout(0.5, rng=rng), nn.Linear(64 * 2 * 2, 64, **options)]
    return nn.Sequential(*parts, nn.ReLU(), nn.Linear(64, 10, **options))


def train(seed: int, epochs: int = 30) -> tuple[nn.Module, nn.History]:
    """The test part is measured, and decides nothing: settings were chosen on the training part."""
    rng, digits, shape = np.random.default_rng(seed), data.load_digits(), (-1, 1, 8, 8)
    net, learnt = lenet(rng), (digits.train_images.reshape(shape), digits.train_labels)
    loader = data.DataLoader(learnt, batch_size=32, shuffle=True, rng=rng)
    test = [(digits.test_images.reshape(shape), digits.test_labels)]
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = AdamW(net.parameters(), lr=5e-3, weight_decay=0.01)
    options: Any = {"schedule": CosineAnnealingLR(optimizer, epochs), "progress": SHOWN}
    return net, nn.fit(net, loader, loss, optimizer, epochs, test=test, **options)


def run(seed: int, quick: bool = False) -> float:
    """The test accuracy after the last epoch."""
    return train(seed, epochs=2 if quick else 30)[1][-1].test_accuracy


def reached(figure: float, quick: bool = False) -> bool:
    """Two epochs are enough for nine in ten."""
    return figure >= (0.9 if quick else 0.98)


def picture(folder: Path) -> Path:
    """Eight digits of the test part: first all that it takes for others."""
    from matplotlib.figure import Figure  # the extra `plot`

    (net, _), digits = train(seed=0), data.load_digits()
    images, labels = digits.test_images.reshape(-1, 8, 8), digits.test_labels
    said = np.argmax(net.eval()(images[:, np.newaxis]).numpy(), axis=1)
    figure = Figure(figsize=(8, 1.4), layout="constrained")
    order = np.argsort(said == labels, kind="stable")[:8]
    for axes, i in zip(figure.subplots(1, 8), order, strict=True):
        axes.imshow(images[i], cmap="gray_r")
        axes.set(title=f"{labels[i]}, said {said[i]}", xticks=[], yticks=[])
    write_aside(path := folder / "17_cnn.png", figure.savefig)
    return path


if __name__ == "__main__":
    for settings in ((1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1)):  # stride, padding, dilation, groups
        print(f"formula - nn.Conv2d{settings}, values and gradients: {apart(*settings):.0e}")
    print(f"asked: {ASKED}; reached: {run(0):.1%}")
    print(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-output")))

"""The workloads: a loss in terms of any engine's ops, its data, and the goals of our engine.

`hand.py` has a function of the same name for every loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SHORT, LONG = 9_999, 999_999  # ops in a chain
# So close to 1 and 0 that the gradient survives a million ops and its numbers stay normal.
SCALE, SHIFT = 1.000001, 1e-9


class Run(NamedTuple):
    """A workload set up in one engine.

    `step` is what is timed. `result` gives the arrays it changes or makes, to compare with hand's.
    """

    step: Callable[[], object]
    result: Callable[[], list[Array]]


@dataclass(frozen=True)
class Engine:
    """What differs between engines; None: the engine has no such thing.

    Attributes:
        name: as printed.
        constant: array -> what the ops take as data.
        parts: (x, n) -> x in n equal parts along the last axis.
        logistic: (scores, targets) -> the mean binary cross-entropy of sigmoid(scores).
        lookup: (W, index) -> rows of W.
        conv: (x, K, b, padding) -> the cross-correlation of images NCHW with kernels OIHW.
        max_pool: (x,) -> the largest of every 2 x 2 pixels.
        train: (loss, parameters, rate) -> a Run of forward, backward and SGD; `loss` is a function
            of the list of parameters.
        hessian_vector: (loss, parameters, direction) -> a Run.
        adam: (parameters, gradients, rate) -> a Run of Adam's update alone.
        lstm: (x, W_x, W_h, b) -> the last h: a whole recurrent layer as one op.
    """

    name: str
    constant: Callable[[Array], Any]
    linear: Callable[..., Any]
    sigmoid: Callable[..., Any]
    relu: Callable[..., Any]
    tanh: Callable[..., Any]
    silu: Callable[..., Any]
    mse: Callable[..., Any]
    cross_entropy: Callable[..., Any]
    logistic: Callable[..., Any]
    parts: Callable[..., Any]
    lookup: Callable[..., Any]
    conv: Callable[..., Any] | None
    max_pool: Callable[..., Any]
    train: Callable[[Callable[[Any], Any], tuple[Array, ...], float], Run]
    hessian_vector: Callable[..., Run] | None = None
    adam: Callable[..., Run] | None = None
    lstm: Callable[..., Any] | None = None


class Task(NamedTuple):
    """The data of a workload.

    Attributes:
        parameters: W, b of each layer in turn, used as x @ W + b; of other nets, what the loss
            names them; of a chain, where it starts.
        x: the inputs; of a chain, the number of ops; of an update alone, the gradients.
        target: what the outputs are compared with; of a chain, None.
        rate: the learning rate.
        direction: like the parameters; the Hessian is multiplied by it.
    """

    parameters: tuple[Array, ...]
    x: Any
    target: Any
    rate: float = 0.1
    direction: tuple[Array, ...] = ()


def sigmoid_net(e: Engine, p: list[Any], x: Any, target: Any) -> Any:
    """One hidden layer, sigmoid twice, mean squared error."""
    return e.mse(e.sigmoid(e.linear(e.sigmoid(e.linear(x, p[0], p[1])), p[2], p[3])), target)


def relu_net(e: Engine, p: list[Any], x: Any, labels: Any) -> Any:
    """One hidden layer, ReLU, softmax cross-entropy with integer labels."""
    return e.cross_entropy(e.linear(e.relu(e.linear(x, p[0], p[1])), p[2], p[3]), labels)


def tanh_net(e: Engine, p: list[Any], x: Any, target: Any) -> Any:
    """Two hidden layers, tanh, mean squared error."""
    h = e.tanh(e.linear(e.tanh(e.linear(x, p[0], p[1])), p[2], p[3]))
    return e.mse(e.linear(h, p[4], p[5]), target)


def chain(e: Engine, p: list[Any], ops: int, _: Any) -> Any:
    """Multiply, add, tanh, in turn."""
    tanh, y = e.tanh, p[0]
    for _ in range(ops // 3):
        y = tanh(y * SCALE + SHIFT)
    return y.sum()


def lstm_net(e: Engine, p: list[Any], x: Any, target: Any) -> Any:
    """A long short-term memory, mean squared error of its last h; gates in the order i, f, g, o."""
    W_x, W_h, b = p
    if e.lstm:
        return e.mse(e.lstm(x, W_x, W_h, b), target)
    h = c = e.constant(np.zeros(target.shape, np.float32))
    for x_t in x:
        i, f, g, o = e.parts(e.linear(x_t, W_x, b) + h @ W_h, 4)
        c = e.sigmoid(f) * c + e.sigmoid(i) * e.tanh(g)
        h = e.sigmoid(o) * e.tanh(c)
    return e.mse(h, target)


def conv_net(e: Engine, p: list[Any], x: Any, labels: Any) -> Any:
    """LeNet: convolution, ReLU, pool, twice; three dense layers; softmax cross-entropy."""
    assert e.conv, "asked by set_up"
    h = e.max_pool(e.relu(e.conv(x, p[0], p[1], 2)))
    h = e.max_pool(e.relu(e.conv(h, p[2], p[3], 0)))
    h = e.relu(e.linear(h.reshape(len(labels), -1), p[4], p[5]))
    return e.cross_entropy(e.linear(e.relu(e.linear(h, p[6], p[7])), p[8], p[9]), labels)


def skip_gram(e: Engine, p: list[Any], words: tuple[Array, Array], target: Any) -> Any:
    """A word predicts a neighbour, and not some drawn words: logistic loss of their products."""
    word, others = e.lookup(p[0], words[0]), e.lookup(p[1], words[1])
    scores = others @ word.reshape(*word.shape, 1)
    return e.logistic(scores.reshape(target.shape), target)


def swiglu(e: Engine, p: list[Any], x: Any, target: Any) -> Any:
    """A gated layer, (silu(x W1) * (x W3)) W2, mean squared error."""
    return e.mse((e.silu(x @ p[0]) * (x @ p[1])) @ p[2], target)


def adam_step(e: Engine, p: tuple[Array, ...], gradients: tuple[Array, ...], rate: float) -> Run:
    """What an optimiser does after the backward pass; the gradients stay the same."""
    assert e.adam, "asked by set_up"
    return e.adam(p, gradients, rate)


@dataclass(frozen=True)
class Workload:
    """A named workload.

    Attributes:
        loss: (engine, parameters, x, target) -> the loss; where it needs "adam", another function.
        task: makes the data, the same bits each time.
        needs: what an engine may lack, and must have here.
        goals: engine -> {"H" or "T": the largest allowed time / hand's or torch's}.
        per: times are given per step / `per`.
        tolerance: how far a gradient may be from hand's, relative to its largest entry.
    """

    name: str
    title: str
    loss: Callable[..., Any]
    task: Callable[[], Task]
    goals: dict[str, dict[str, float]] = field(default_factory=dict)
    per: int = 1
    tolerance: float = 1e-9
    needs: str = "train"

    def set_up(self, engine: Engine) -> Run | None:
        """Make this workload ready to run in an engine; None where the engine cannot do it."""
        if getattr(engine, self.needs) is None:
            return None
        parameters, x, target, rate, direction = self.task()
        if self.needs == "adam":
            run: Run = self.loss(engine, parameters, x, rate)
            return run
        x, target = (_constants(engine, data) for data in (x, target))

        def loss(p: Any) -> Any:
            return self.loss(engine, p, x, target)

        if engine.hessian_vector and direction:
            return engine.hessian_vector(loss, parameters, direction)
        return engine.train(loss, parameters, rate)


def _constants(engine: Engine, data: Any) -> Any:
    if isinstance(data, tuple):
        return tuple(_constants(engine, part) for part in data)
    return engine.constant(data) if isinstance(data, np.ndarray) else data


def _dense(rng: np.random.Generator, *sizes: int) -> tuple[Array, ...]:
    """Weights and biases with variance 1 / fan-in."""
    shapes = [(n, shape) for n, m in itertools.pairwise(sizes) for shape in ((n, m), (m,))]
    return tuple(rng.normal(size=shape) / np.sqrt(n) for n, shape in shapes)


def _xor() -> Task:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    target = np.array([[0.0], [1.0], [1.0], [0.0]])
    return Task(_dense(np.random.default_rng(1), 2, 4, 1), x, target)


def _small() -> Task:
    rng = np.random.default_rng(2)
    return Task(_dense(rng, 10, 15, 5), rng.normal(size=(10, 10)), rng.uniform(size=(10, 5)))


def _image() -> Task:
    rng = np.random.default_rng(3)
    parameters, x = _dense(rng, 784, 256, 10), rng.uniform(size=(256, 784))
    return _single(Task(parameters, x, rng.integers(10, size=256), rate=0.01))


def _chain(shape: tuple[int, ...], ops: int) -> Task:
    start = np.array(np.random.default_rng(4).uniform(0.1, 0.3, size=shape))
    return Task((start,), ops, None)


def _sequences() -> Task:
    rng = np.random.default_rng(5)
    W_x, b, W_h, _ = (*_dense(rng, 64, 4 * 128), *_dense(rng, 128, 4 * 128))
    x, target = rng.normal(size=(32, 32, 64)), rng.normal(size=(32, 128))  # x: time, batch, in
    return _single(Task((W_x, W_h, b), x, target))


def _digits() -> Task:
    rng = np.random.default_rng(6)
    kernels = [rng.normal(size=s) / np.sqrt(25 * s[1]) for s in ((6, 1, 5, 5), (16, 6, 5, 5))]
    biases = [rng.normal(size=len(K)) / 10 for K in kernels]
    dense = _dense(rng, 400, 120, 84, 10)
    x, labels = rng.normal(size=(32, 1, 28, 28)), rng.integers(10, size=32)
    return _single(Task((kernels[0], biases[0], kernels[1], biases[1], *dense), x, labels))


def _words() -> Task:
    rng = np.random.default_rng(7)
    W, C = (rng.normal(size=(10_000, 100)) / 10 for _ in range(2))
    index = rng.integers(10_000, size=256), rng.integers(10_000, size=(256, 1 + 5))
    target = np.zeros((256, 1 + 5))
    target[:, 0] = 1
    return _single(Task((W, C), index, target, rate=10))


def _gated() -> Task:
    rng = np.random.default_rng(8)
    sizes = (512, 1376), (512, 1376), (1376, 512)
    parameters = tuple(rng.normal(size=size) / np.sqrt(size[0]) for size in sizes)
    x, target = (rng.normal(size=(512, 512)) for _ in range(2))
    return _single(Task(parameters, x, target, rate=10))


def _single(task: Task) -> Task:
    """The same in float32."""
    parameters = tuple(p.astype(np.float32) for p in task.parameters)
    x, target = (
        a.astype(np.float32) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
        for a in (task.x, task.target)
    )
    return task._replace(parameters=parameters, x=x, target=target)


def _hessian() -> Task:
    rng = np.random.default_rng(9)
    parameters, direction = (_dense(rng, 10, 32, 32, 1) for _ in range(2))
    x, target = rng.normal(size=(32, 10)), rng.normal(size=(32, 1))
    return Task(parameters, x, target, direction=direction)


def _gradients() -> Task:
    rng = np.random.default_rng(10)
    parameters = _dense(rng, 784, 256, 10)
    gradients = tuple(rng.normal(size=p.shape).astype(np.float32) for p in parameters)
    return _single(Task(parameters, None, None, rate=0.001))._replace(x=gradients)


_TINY = {"ours": {"T": 0.5}, "ours, primitives": {"T": 0.65}}
_CHAIN = {"ours": {"T": 0.75}}
_IMAGE = {"ours": {"H": 1.05, "T": 0.95}}
_LSTM = {"ours": {"T": 1.0}, "ours, nn.LSTM": {"H": 0.8}, "torch nn.LSTM": {}}
_CONV = {"ours": {"H": 0.9}}
_WORDS = {"ours": {"H": 0.6}}
_GATED = {"ours": {"H": 1.05}}
_HESSIAN = {"ours": {"T": 0.9}}
_ADAM = {"ours": {"H": 1.1}}

WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "XOR 2-4-1, batch 4, f64", sigmoid_net, _xor, _TINY),
        Workload("W2", "10-15-5 sigmoid, MSE, batch 10, f64", sigmoid_net, _small, _TINY),
        Workload("W3", "784-256-10 ReLU, batch 256, f32", relu_net, _image, _IMAGE, tolerance=1e-3),
        Workload("W4", "chain on (8,), per op", chain, lambda: _chain((8,), SHORT), _CHAIN, SHORT),
        Workload("W4-0d", "chain on (), per op", chain, lambda: _chain((), SHORT), _CHAIN, SHORT),
        Workload("W5", "LSTM 64-128, 32 x 32, f32", lstm_net, _sequences, _LSTM, tolerance=1e-3),
        Workload("W6", "LeNet, batch 32, f32", conv_net, _digits, _CONV, 1, 1e-3, "conv"),
        Workload("W7", "skip-gram, f32", skip_gram, _words, _WORDS, tolerance=1e-3),
        Workload("W8", "SwiGLU 512-1376, f32", swiglu, _gated, _GATED, tolerance=1e-3),
        Workload("W9", "Hessian-vector", tanh_net, _hessian, _HESSIAN, needs="hessian_vector"),
        Workload("Adam", "784-256-10, f32", adam_step, _gradients, _ADAM, 1, 1e-3, "adam"),
    )
}
LONG_CHAIN = Workload("W4-1M", "chain on (8,), per op", chain, lambda: _chain((8,), LONG), per=LONG)

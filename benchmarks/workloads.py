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
    """What differs between engines.

    Attributes:
        name: as printed.
        constant: array -> what the ops take as data.
        train: (loss, parameters, rate) -> a Run of forward, backward and SGD; `loss` is a function
            of the list of parameters.
        hessian_vector: (loss, parameters, direction) -> a Run; None if the engine cannot.
    """

    name: str
    constant: Callable[[Array], Any]
    linear: Callable[..., Any]
    sigmoid: Callable[..., Any]
    relu: Callable[..., Any]
    tanh: Callable[..., Any]
    mse: Callable[..., Any]
    cross_entropy: Callable[..., Any]
    train: Callable[[Callable[[Any], Any], tuple[Array, ...], float], Run]
    hessian_vector: Callable[..., Run] | None = None


class Task(NamedTuple):
    """The data of a workload.

    Attributes:
        parameters: W, b of each layer in turn, used as x @ W + b; of a chain, where it starts.
        x: the inputs; of a chain, the number of ops.
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


@dataclass(frozen=True)
class Workload:
    """A named workload.

    Attributes:
        loss: (engine, parameters, x, target) -> the loss.
        task: makes the data, the same bits each time.
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

    def set_up(self, engine: Engine) -> Run | None:
        """Make this workload ready to run in an engine; None where the engine cannot do it."""
        parameters, x, target, rate, direction = self.task()
        x, target = (engine.constant(a) if isinstance(a, np.ndarray) else a for a in (x, target))

        def loss(p: Any) -> Any:
            return self.loss(engine, p, x, target)

        if not direction:
            return engine.train(loss, parameters, rate)
        return engine.hessian_vector and engine.hessian_vector(loss, parameters, direction)


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
    parameters = tuple(p.astype(np.float32) for p in _dense(rng, 784, 256, 10))
    x = rng.uniform(size=(256, 784)).astype(np.float32)
    return Task(parameters, x, rng.integers(10, size=256), rate=0.01)


def _chain(shape: tuple[int, ...], ops: int) -> Task:
    start = np.array(np.random.default_rng(4).uniform(0.1, 0.3, size=shape))
    return Task((start,), ops, None)


def _hessian() -> Task:
    rng = np.random.default_rng(9)
    parameters, direction = (_dense(rng, 10, 32, 32, 1) for _ in range(2))
    x, target = rng.normal(size=(32, 10)), rng.normal(size=(32, 1))
    return Task(parameters, x, target, direction=direction)


_TINY = {"ours": {"T": 0.5}, "ours, primitives": {"T": 0.65}}
_CHAIN = {"ours": {"T": 0.75}}
_IMAGE = {"ours": {"H": 1.05, "T": 0.95}}
_HESSIAN = {"ours": {"T": 0.9}}

WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "XOR 2-4-1, batch 4, f64", sigmoid_net, _xor, _TINY),
        Workload("W2", "10-15-5 sigmoid, MSE, batch 10, f64", sigmoid_net, _small, _TINY),
        Workload("W3", "784-256-10 ReLU, batch 256, f32", relu_net, _image, _IMAGE, tolerance=1e-3),
        Workload("W4", "chain on (8,), per op", chain, lambda: _chain((8,), SHORT), _CHAIN, SHORT),
        Workload("W4-0d", "chain on (), per op", chain, lambda: _chain((), SHORT), _CHAIN, SHORT),
        Workload("W9", "Hessian-vector, 10-32-32-1", tanh_net, _hessian, _HESSIAN),
    )
}
LONG_CHAIN = Workload("W4-1M", "chain on (8,), per op", chain, lambda: _chain((8,), LONG), per=LONG)

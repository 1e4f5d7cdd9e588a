"""The same engine and rules on Dask arrays: equal gradients, lazily; what is not covered raises."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

da = pytest.importorskip("dask.array")
pytestmark = pytest.mark.filterwarnings("ignore::dask.array.PerformanceWarning")

RNG = np.random.default_rng(2)
INPUTS = RNG.normal(size=(12, 5))
LABELS = RNG.integers(0, 3, size=12)
WEIGHTS = [RNG.normal(size=shape) for shape in [(5, 7), (7,), (7, 3), (3,)]]


def chunked(array: np.ndarray, chunks: Any = None) -> Any:
    return da.from_array(array, chunks=chunks or array.shape)


def leaf(data: Any) -> Tensor:
    return Tensor(data, requires_grad=True)


def loss_of(x: Any, labels: Any, parameters: list[Tensor]) -> Tensor:
    W1, b1, W2, b2 = parameters
    hidden = tg.relu(tg.linear(x, W1, b1))
    return tg.cross_entropy(tg.linear(hidden, W2, b2), labels)


# --- one training step ------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(4, 5), (12, 5), ((5, 7), 5), (1, 5)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_training_step_gives_the_same_gradients(chunks: Any, dtype: Any) -> None:
    plain = [leaf(w.astype(dtype)) for w in WEIGHTS]
    expected = loss_of(Tensor(INPUTS.astype(dtype)), LABELS, plain)
    expected.backward()

    lazy = [leaf(chunked(w.astype(dtype))) for w in WEIGHTS]
    x = Tensor(chunked(INPUTS.astype(dtype), chunks))
    loss = loss_of(x, chunked(LABELS, chunks[:1]), lazy)
    assert isinstance(loss.data, da.Array), "nothing is computed yet"
    loss.backward()
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(loss.data.compute(), expected.item(), rtol=tolerance)
    for p, q in zip(lazy, plain, strict=True):
        assert isinstance(p.grad, da.Array)
        assert (p.grad.shape, p.grad.dtype) == (q.grad.shape, q.grad.dtype)
        np.testing.assert_allclose(p.grad.compute(), q.grad, rtol=tolerance, atol=tolerance)


def test_parameters_may_stay_in_numpy_while_the_data_is_in_dask() -> None:
    plain = [leaf(w) for w in WEIGHTS]
    loss_of(Tensor(INPUTS), LABELS, plain).backward()
    mixed = [leaf(w) for w in WEIGHTS]
    loss_of(Tensor(chunked(INPUTS, (4, 5))), chunked(LABELS, (4,)), mixed).backward()
    for p, q in zip(mixed, plain, strict=True):
        np.testing.assert_allclose(np.asarray(p.grad), q.grad, rtol=1e-12, atol=1e-13)


def test_a_parameter_is_updated_lazily() -> None:
    w = leaf(chunked(np.array([1.0, 2.0])))
    np.sum(w * w).backward()
    w.data = w.data - 0.5 * w.grad
    assert isinstance(w.data, da.Array)
    assert w.data.compute().tolist() == [0, 0]


def test_gradients_accumulate_lazily() -> None:
    w = leaf(chunked(np.array([1.0, 2.0])))
    np.sum(w * w).backward()
    np.sum(w * 3).backward()
    assert isinstance(w.grad, da.Array)
    assert w.grad.compute().tolist() == [5, 7]


def test_a_second_order_gradient_on_dask() -> None:
    x = leaf(chunked(np.array([1.0, 2.0, 3.0]), 2))
    first = tg.gradients(np.sum(x**3), x, create_graph=True)
    assert isinstance(first.data, da.Array)
    second = tg.gradients(np.sum(first), x)
    np.testing.assert_allclose(second.data.compute(), [6, 12, 18])


# --- single ops -------------------------------------------------------------------------------

COVERED: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda x: x * 2 + x / 3 - x**2,
    "elementwise": lambda x: np.exp(-x) + np.tanh(x) + np.sqrt(x + 9) + np.abs(x),
    "where": lambda x: np.where(x > 0, x, np.exp(x)),
    "maximum": lambda x: np.maximum(x, 0.25),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "sum": lambda x: x.sum(axis=0),
    "mean": lambda x: x.mean(axis=1, keepdims=True),
    "max": lambda x: x.max(axis=1),
    "var": lambda x: x.var(axis=0),
    "std": lambda x: x.std(axis=0),
    "transpose": lambda x: x.T * 2,
    "matmul": lambda x: x @ x.T,
    "reshape": lambda x: x.reshape(-1) * 2,
    "slice": lambda x: x[1:, ::2] * x[:-1, 1:2],
    "integer index": lambda x: x[0] * x[-1],
    "new axis": lambda x: x[:, None] * x[None],
    "concatenate": lambda x: np.concatenate([x, x * 2]),
    "stack": lambda x: np.stack([x, x**2], axis=1),
    "softmax": lambda x: tg.softmax(x, axis=1),
    "log_softmax": lambda x: tg.log_softmax(x, axis=1),
    "sigmoid": lambda x: tg.sigmoid(x) + tg.softplus(x) + tg.silu(x),
    "logsumexp": lambda x: tg.logsumexp(x, axis=1),
    "mse": lambda x: tg.mse_loss(x, x * 0.5 + 1),
    "broadcast": lambda x: np.broadcast_to(x, (2, 4, 3)) * x.sum(axis=0),
    "flip": lambda x: np.flip(x, 0) * x,
    "cumsum": lambda x: np.cumsum(x, axis=0),
}


@pytest.mark.parametrize("chunks", [(4, 3), (2, 3)], ids=["one chunk", "two chunks"])
@pytest.mark.parametrize("name", COVERED)
def test_ops_give_the_same_gradients_lazily(name: str, chunks: Any) -> None:
    f, numbers = COVERED[name], RNG.normal(size=(4, 3)) / 2
    plain = leaf(numbers)
    y = f(plain)
    g = np.cos(np.arange(y.size)).reshape(y.shape)
    np.sum(y * g).backward()
    lazy = leaf(chunked(numbers, chunks))
    z = f(lazy)
    assert isinstance(z.data, da.Array)
    np.testing.assert_allclose(z.data.compute(), y.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.sum(z * chunked(g) if g.ndim else z * g).backward()
    assert isinstance(lazy.grad, da.Array)
    assert lazy.grad.shape == plain.grad.shape
    np.testing.assert_allclose(lazy.grad.compute(), plain.grad, rtol=1e-11, atol=1e-13)


UNCOVERED: dict[str, Callable[[Any], Any]] = {
    "repeated rows": lambda x: x[[0, 0, 2]],
    "index arrays in pairs": lambda x: x[[0, 1], [1, 2]],
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0], [1], [1], [0]]), axis=1),
}


@pytest.mark.parametrize("name", UNCOVERED)
def test_what_is_not_covered_raises(name: str) -> None:
    x = leaf(chunked(RNG.normal(size=(4, 3)), (2, 3)))
    # FutureWarning, an error here: Dask's word that it would compute with NumPy instead
    with pytest.raises((tg.AutogradError, NotImplementedError, FutureWarning)):
        np.sum(UNCOVERED[name](x)).backward()
    assert x.grad is None


# --- safety -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.data.__setitem__(..., 100.0),
        lambda p: setattr(p, "data", p.data * 0),
    ],
)
def test_a_leaf_that_changes_after_the_forward_pass_leaves_its_gradient_right(change: Any) -> None:
    p = leaf(chunked(np.array([1.0, 2.0])))
    y = np.sum(p * p)
    change(p)
    y.backward()
    assert p.grad.compute().tolist() == [2, 4]


def test_an_operand_that_its_owner_changes_leaves_the_gradient_right() -> None:
    p, operand = leaf(chunked(np.array([1.0, 1.0]))), chunked(np.array([5.0, 6.0]))
    y = np.sum(p * operand)
    operand[0] = 0
    y.backward()
    assert p.grad.compute().tolist() == [5, 6]


def test_reading_one_element_computes_it() -> None:
    total = np.sum(leaf(chunked(np.array([1.0, 2.0]))))
    assert total.item() == 3
    assert f"{total:.1f}" == "3.0"
    assert bool(total > 2)


def test_repr_computes_nothing() -> None:
    def explode(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    lazy = da.map_blocks(explode, chunked(np.ones(3)), dtype=float, meta=np.ones(0))
    assert "(3,)" in repr(Tensor(lazy))


def test_values_are_computed_once_per_compute_only() -> None:
    calls: list[int] = []

    def note(block: np.ndarray) -> np.ndarray:
        calls.append(1)
        return block

    lazy = da.map_blocks(note, chunked(np.ones((4, 3))), dtype=float, meta=np.ones((0, 0)))
    x = leaf(lazy)
    np.sum(tg.relu(x @ np.ones((3, 2)))).backward()
    assert calls == []

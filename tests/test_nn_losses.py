"""Losses as modules: their gradients by hand, reductions, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import nn

Array = Any


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def one_hot(z: Array, labels: Array) -> Array:
    return np.eye(z.shape[1])[labels]


class Case(NamedTuple):
    loss: Callable[..., Any]
    each: Callable[[Array, Array], Array]  # the loss of each element or example
    slope: Callable[[Array, Array], Array]  # of each with respect to its prediction
    labels: bool = False  # targets are integers
    unit: bool = False  # predictions and targets lie between 0 and 1


CASES = {
    "mse": Case(nn.MSELoss, lambda x, y: (x - y) ** 2, lambda x, y: 2 * (x - y)),
    "l1": Case(nn.L1Loss, lambda x, y: np.abs(x - y), lambda x, y: np.sign(x - y)),
    "huber": Case(
        lambda reduction: nn.HuberLoss(reduction, delta=0.5),
        lambda x, y: np.where(
            np.abs(x - y) < 0.5, 0.5 * (x - y) ** 2, 0.5 * (np.abs(x - y) - 0.25)
        ),
        lambda x, y: np.clip(x - y, -0.5, 0.5),
    ),
    "smooth l1": Case(
        lambda reduction: nn.SmoothL1Loss(reduction, beta=0.5),
        lambda x, y: np.where(np.abs(x - y) < 0.5, (x - y) ** 2, np.abs(x - y) - 0.25),
        lambda x, y: np.clip(x - y, -0.5, 0.5) / 0.5,
    ),
    "cross-entropy": Case(
        lambda reduction: nn.CrossEntropyLoss(reduction=reduction),
        lambda z, t: -np.log(softmax(z)[np.arange(len(t)), t]),
        lambda z, t: softmax(z) - one_hot(z, t),
        labels=True,
    ),
    "nll": Case(
        nn.NLLLoss,
        lambda z, t: -z[np.arange(len(t)), t],
        lambda z, t: -one_hot(z, t),
        labels=True,
    ),
    "bce": Case(
        nn.BCELoss,
        lambda p, y: -y * np.log(p) - (1 - y) * np.log(1 - p),
        lambda p, y: (p - y) / (p * (1 - p)),
        unit=True,
    ),
    "bce with logits": Case(
        nn.BCEWithLogitsLoss,
        lambda z, y: np.log1p(np.exp(z)) - y * z,
        lambda z, y: sigmoid(z) - y,
    ),
    "kl": Case(nn.KLDivLoss, lambda x, y: y * (np.log(y) - x), lambda x, y: -y, unit=True),
}


@pytest.mark.parametrize("name", CASES)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(["mean", "sum", "none"]),
    st.integers(0, 2**32 - 1),
)
def test_value_and_gradient_are_those_derived(
    name: str, N: int, C: int, reduction: str, seed: int
) -> None:
    case, rng = CASES[name], np.random.default_rng(seed)
    x = rng.uniform(0.05, 0.95, (N, C)) if case.unit else rng.normal(size=(N, C))
    y = rng.integers(0, C, N) if case.labels else rng.uniform(0.05, 0.95, (N, C))
    each = case.each(x, y)
    prediction = tg.Tensor(x, requires_grad=True)
    out = case.loss(reduction)(prediction, y)
    expected = {"mean": each.mean, "sum": each.sum, "none": lambda: each}[reduction]()
    assert np.allclose(out.data, expected, rtol=1e-12, atol=1e-14)
    g = rng.normal(size=each.shape) if reduction == "none" else np.ones(())
    out.backward(g)
    share = g[:, None] if case.labels and g.ndim else g
    derived = share * case.slope(x, y) / (each.size if reduction == "mean" else 1)
    assert np.abs(prediction.grad - derived).max() <= 1e-12 * (1 + np.abs(derived).max())


def test_gaussian_nll_by_hand() -> None:
    rng = np.random.default_rng(0)
    x, y, var = rng.normal(size=4), rng.normal(size=4), rng.uniform(0.5, 2, 4)
    mean, variance = (tg.Tensor(a, requires_grad=True) for a in (x, var))
    nn.GaussianNLLLoss(reduction="sum")(mean, y, variance).backward()
    assert np.allclose(mean.grad, (x - y) / var, rtol=1e-12)
    assert np.allclose(variance.grad, 0.5 * (1 / var - (x - y) ** 2 / var**2), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_losses_from_logits_are_stable(dtype: Any, size: float) -> None:
    z = tg.Tensor(np.array([[size, 0.0]], dtype), requires_grad=True)
    out = nn.CrossEntropyLoss()(z, np.array([1]))
    out.backward()
    assert out.item() == pytest.approx(max(size, 0.0))
    assert np.allclose(z.grad, [[1, -1]] if size > 0 else [[0, 0]])
    assert (out.dtype, z.grad.dtype) == (dtype, dtype)
    out = nn.BCEWithLogitsLoss()(z, np.array([[0.0, 1.0]], dtype))
    assert out.item() == pytest.approx((max(size, 0) + np.log(2)) / 2)


def test_the_options_of_cross_entropy_reach_the_function() -> None:
    rng = np.random.default_rng(0)
    z, t, w = rng.normal(size=(4, 3)), np.array([0, 2, 1, 2]), np.array([1.0, 2.0, 3.0])
    loss = nn.CrossEntropyLoss(weight=w, ignore_index=1, label_smoothing=0.1)
    expected = tg.cross_entropy(z, t, weight=w, ignore_index=1, label_smoothing=0.1)
    assert loss(z, t).item() == expected.item()
    assert loss(z, t).item() != nn.CrossEntropyLoss()(z, t).item()


def test_labels_may_be_a_list_or_a_tensor() -> None:
    z = np.random.default_rng(0).normal(size=(3, 4))
    expected = nn.CrossEntropyLoss()(z, np.array([0, 1, 3])).item()
    assert nn.CrossEntropyLoss()(z, [0, 1, 3]).item() == expected
    assert nn.CrossEntropyLoss()(z, tg.Tensor([0, 1, 3])).item() == expected


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss()])
@pytest.mark.parametrize("label", [3, -1, -100])
def test_labels_out_of_range_are_refused(loss: Any, label: int) -> None:
    with pytest.raises(tg.InputError, match="labels must be between 0 and 2 for 3 classes"):
        loss(np.zeros((2, 3)), np.array([0, label]))


@pytest.mark.parametrize("name", CASES)
def test_the_mean_of_an_empty_batch_is_refused(name: str) -> None:
    case = CASES[name]
    y = np.zeros(0, int) if case.labels else np.zeros((0, 3))
    loss = case.loss("mean")
    with pytest.raises(
        tg.InputError, match=rf"{type(loss).__name__}: .* empty batch of shape \(0, 3\)"
    ):
        loss(np.zeros((0, 3)), y)
    assert case.loss("sum")(np.zeros((0, 3)), y) == 0


@pytest.mark.parametrize("name", CASES)
def test_an_unknown_reduction_is_refused_when_the_loss_is_made(name: str) -> None:
    with pytest.raises(tg.InputError, match=r"expected reduction .* or 'none', got 'average'"):
        CASES[name].loss("average")


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case.labels])
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    with pytest.raises(tg.InputError, match="must have one shape"):
        CASES[name].loss("mean")(np.full((3, 1), 0.5), np.full(3, 0.5))


def test_labels_that_are_no_integers_are_refused() -> None:
    with pytest.raises(tg.DtypeError, match="expected integer labels"):
        nn.CrossEntropyLoss()(np.zeros((2, 3)), np.array([0.0, 1.0]))


def test_repr_shows_an_unusual_reduction() -> None:
    assert repr(nn.MSELoss()) == "MSELoss()"
    assert repr(nn.MSELoss("sum")) == "MSELoss(reduction='sum')"

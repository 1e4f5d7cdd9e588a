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
        lambda reduction: nn.NLLLoss(reduction=reduction),
        lambda z, t: -z[np.arange(len(t)), t],
        lambda z, t: -one_hot(z, t),
        labels=True,
    ),
    "bce": Case(
        lambda reduction: nn.BCELoss(reduction=reduction),
        lambda p, y: -y * np.log(p) - (1 - y) * np.log(1 - p),
        lambda p, y: (p - y) / (p * (1 - p)),
        unit=True,
    ),
    "bce with logits": Case(
        lambda reduction: nn.BCEWithLogitsLoss(reduction=reduction),
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


def derived(
    each: Array, slope: Array, share: Array, reduction: str, count: float
) -> tuple[Array, Array]:
    """Value and gradient of losses that count `share` each, the mean of which is over `count`."""
    over = count if reduction == "mean" else 1
    value = share * each if reduction == "none" else (share * each).sum() / over
    return value, share * slope / over


def assert_equal(loss: Any, x: Array, y: Array, value: Array, gradient: Array) -> None:
    prediction = tg.Tensor(x, requires_grad=True)
    out = loss(prediction, y)
    assert np.allclose(out.data, value, rtol=1e-12, atol=1e-14)
    out.backward(np.ones(out.shape))
    assert np.abs(prediction.grad - gradient).max() <= 1e-12 * (1 + np.abs(gradient).max())


reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@reductions
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_nll_counts_classes_by_weight_and_leaves_out_a_label(
    reduction: str, N: int, C: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(N, C)), rng.uniform(0.1, 2, C)
    t = rng.integers(0, C, N)
    left_out = rng.random(N) < 0.3
    share = np.where(left_out, 0, w[t])
    value, _ = derived(-x[np.arange(N), t], 0, share, reduction, share.sum() or 1)
    _, gradient = derived(0, -one_hot(x, t), share[:, None], reduction, share.sum() or 1)
    loss = nn.NLLLoss(w, ignore_index=-100, reduction=reduction)
    assert_equal(loss, x, np.where(left_out, -100, t), value, gradient)


@reductions
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_bce_with_weights_by_hand(reduction: str, N: int, C: int, seed: int) -> None:
    """With p = sigmoid(z): loss = -w (c y log p + (1 - y) log(1 - p)), and
    ∂/∂z = w ((1 - y) p - c y (1 - p))."""
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(N, C)), rng.uniform(size=(N, C))
    w, c = rng.uniform(0.1, 2, (N, 1)), rng.uniform(0.1, 3, C)
    p = sigmoid(z)
    each = -c * y * np.log(p) - (1 - y) * np.log(1 - p)
    slope = (1 - y) * p - c * y * (1 - p)
    value, gradient = derived(each, slope, w * np.ones((N, C)), reduction, N * C)
    assert_equal(nn.BCEWithLogitsLoss(w, reduction, pos_weight=c), z, y, value, gradient)
    value, gradient = derived(each, slope, np.ones((N, C)), reduction, N * C)
    assert_equal(nn.BCEWithLogitsLoss(None, reduction, pos_weight=c), z, y, value, gradient)
    each, slope = -y * np.log(p) - (1 - y) * np.log(1 - p), (p - y) / (p * (1 - p))
    value, gradient = derived(each, slope, w * np.ones((N, C)), reduction, N * C)
    assert_equal(nn.BCELoss(w, reduction), p, y, value, gradient)


def test_where_no_label_counts_the_loss_is_0() -> None:
    z = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    for loss in (nn.NLLLoss(ignore_index=-100), nn.CrossEntropyLoss(ignore_index=-100)):
        out = loss(z, [-100, -100])
        out.backward()
        assert out.item() == 0
        assert not z.grad.any()


def test_weights_are_buffers_and_do_not_widen_float32() -> None:
    loss = nn.BCEWithLogitsLoss(weight=[1.0, 2.0], pos_weight=[3, 4])
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    z = tg.Tensor(np.ones((3, 2)), dtype="f4", requires_grad=True)
    y = np.ones((3, 2), "f4")
    assert loss(z, y).dtype == np.float32
    assert nn.NLLLoss(weight=[1.0, 2.0])(z, [0, 1, 1]).dtype == np.float32
    assert nn.CrossEntropyLoss(weight=[1.0, 2.0])(z, [0, 1, 1]).dtype == np.float32


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


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss(), nn.NLLLoss(ignore_index=0)])
def test_labels_that_are_no_integers_are_refused(loss: Any) -> None:
    with pytest.raises(tg.DtypeError, match="expected integer labels"):
        loss(np.zeros((2, 3)), np.array([0.0, 1.0]))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss()])
@pytest.mark.parametrize(
    ("scores", "labels"), [((2, 4, 3), (2, 4)), ((2, 3), (2, 1)), ((2, 3), (3,)), ((3,), ())]
)
def test_scores_that_are_no_rows_are_refused_with_the_way_out(
    loss: Any, scores: Any, labels: Any
) -> None:
    wanted = rf"{type(loss).__name__}: expected scores \(N, C\) and labels \(N,\), .*labels\.resh"
    with pytest.raises(tg.InputError, match=wanted):
        loss(np.zeros(scores), np.zeros(labels, int))


@pytest.mark.parametrize(
    ("loss", "x", "y", "message"),
    [
        (nn.BCELoss(), 1.5, 0.0, r"BCELoss: expected probabilities between 0 and 1, got 1\.5 to"),
        (nn.BCELoss(), -0.5, 0.0, "BCELoss: expected probabilities between 0 and 1"),
        (nn.BCELoss(), 0.5, 2.0, "BCELoss: expected targets between 0 and 1"),
        (nn.BCEWithLogitsLoss(), 3.0, -1.0, "BCEWithLogitsLoss: expected targets between 0 and 1"),
        (nn.CrossEntropyLoss(), 3.0, -1.0, "CrossEntropyLoss: expected probabilities between 0"),
        (nn.BCELoss([1.0, 2.0]), 0.5, 0.5, r"weight that broadcasts to the losses \(2, 3\), got"),
        (nn.BCEWithLogitsLoss(np.ones((4, 2, 3))), 0.5, 0.5, r"the losses \(2, 3\), got shape"),
        (nn.BCEWithLogitsLoss(pos_weight=[1, 2]), 0.5, 0.5, "BCEWithLogitsLoss: expected a pos_w"),
    ],
)  # fmt: skip
def test_targets_and_weights_that_do_not_fit_are_refused(
    loss: Any, x: float, y: float, message: str
) -> None:
    with pytest.raises(tg.InputError, match=message):
        loss(np.full((2, 3), x), np.full((2, 3), y))


def test_a_weight_is_needed_for_every_class() -> None:
    for loss in (nn.NLLLoss([1.0, 2.0]), nn.CrossEntropyLoss([1.0, 2.0])):
        with pytest.raises(tg.InputError, match="expected a weight for each of 3 classes, got"):
            loss(np.zeros((2, 3)), [0, 1])


def test_a_prediction_that_is_nan_passes_to_where_it_can_be_explained() -> None:
    assert np.isnan(nn.BCELoss()(np.full(2, np.nan), np.ones(2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.NLLLoss("sum"), "NLLLoss: expected weight to be numbers, .* reduction='sum'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), "label_smoothing between 0 and 1"),
        (lambda: nn.HuberLoss(delta=0.0), "HuberLoss: expected delta > 0"),
        (lambda: nn.SmoothL1Loss(beta=-1.0), "SmoothL1Loss: expected beta >= 0"),
    ],
)
def test_settings_of_losses_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        make()


def test_a_prediction_that_is_none_is_refused() -> None:
    with pytest.raises(tg.DtypeError, match="MSELoss: expected integers or floats, got NoneType"):
        nn.MSELoss()(None, np.ones(2))


def test_variances_may_be_a_list() -> None:
    x, y = np.zeros(2), np.ones(2)
    assert nn.GaussianNLLLoss()(x, y, [1.0, 1.0]) == pytest.approx(0.5)


def test_repr_shows_an_unusual_reduction() -> None:
    assert repr(nn.MSELoss()) == "MSELoss()"
    assert repr(nn.MSELoss("sum")) == "MSELoss(reduction='sum')"

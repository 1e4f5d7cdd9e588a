"""Losses: by hand, against difference quotients, far out, and what they refuse.

More of `likelihoods` and `margins` is in tests of their own.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

REDUCTIONS = ["mean", "sum", "none"]


def far_huber(x: Any, y: Any, reduction: str = "mean") -> Any:
    return tg.huber_loss(x, y, reduction, delta=0.25)


def focal(x: Any, y: Any, reduction: str = "mean") -> Any:
    return tg.sigmoid_focal_loss(x, y, gamma=1.5, reduction=reduction)


def weighted(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    weight = np.arange(1.0, logits.shape[1] + 1)
    return tg.cross_entropy(logits, labels, reduction, weight, 1, 0.25)


PAIRED: list[Any] = [
    tg.mse_loss, tg.binary_cross_entropy, tg.binary_cross_entropy_with_logits, tg.l1_loss,
    tg.huber_loss, far_huber, tg.smooth_l1_loss, focal, tg.kl_div, tg.gaussian_kl,
    tg.poisson_nll_loss,
]  # fmt: skip
LABELLED: list[Any] = [
    tg.cross_entropy, tg.nll_loss, weighted, tg.softmax_focal_loss, tg.multi_margin_loss,
]  # fmt: skip


def name(value: Any) -> str | None:
    return getattr(value, "__name__", None)


def drawn(*shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(4).normal(size=shape))


def fractions(*shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(5).uniform(0.1, 0.9, size=shape))


def gradient(f: Callable[[Any], Any], x: Any) -> Any:
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(np.arange(1.0, y.size + 1).reshape(y.shape))
    return t.grad


# -- against difference quotients ----------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("f", PAIRED, ids=name)
@pytest.mark.parametrize("shape", [(3, 4), (5,), ()])
def test_paired_losses(f: Any, reduction: str, shape: tuple[int, ...]) -> None:
    x = drawn(*shape) if f is not tg.binary_cross_entropy else fractions(*shape)
    y = 1 - fractions(*shape) ** 2
    tg.check_gradients(lambda x, y: f(x, y, reduction=reduction), x, y, order=2)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("f", LABELLED, ids=name)
def test_losses_of_labels(f: Any, reduction: str) -> None:
    labels = np.array([0, 3, 3, 1])
    tg.check_gradients(lambda x: f(x, labels, reduction=reduction), drawn(4, 5), order=2)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_weighted_probabilities(reduction: str) -> None:
    weight = np.array([1.0, 0.5, 2.0])
    tg.check_gradients(
        lambda x, y: tg.cross_entropy(x, y, reduction, weight, label_smoothing=0.25),
        drawn(4, 3), tg.softmax(drawn(3, 4).T), order=2,
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_probabilities(reduction: str) -> None:
    tg.check_gradients(
        lambda x, y: tg.cross_entropy(x, y, reduction=reduction),
        drawn(4, 3), tg.softmax(drawn(3, 4).T), order=2,
    )  # fmt: skip


# -- by hand -----------------------------------------------------------------------------------


def test_mse_loss_by_hand() -> None:
    x, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert tg.mse_loss(x, y) == (0 + 4 + 9 + 16) / 4
    assert tg.mse_loss(x, y, reduction="sum") == 29
    assert tg.mse_loss(x, y, reduction="none").tolist() == [[0, 4], [9, 16]]
    assert gradient(lambda t: tg.mse_loss(t, y), x).tolist() == [[0, 1], [1.5, 2]]
    assert gradient(lambda t: tg.mse_loss(x, t, "sum"), y).tolist() == [[0, -4], [-6, -8]]


def test_cross_entropy_by_hand() -> None:
    # two classes with logits 0 and log 3: probabilities 1/4 and 3/4
    logits, labels = np.array([[0, math.log(3)], [0, math.log(3)]]), np.array([0, 1])
    each = [math.log(4), math.log(4 / 3)]
    np.testing.assert_allclose(tg.cross_entropy(logits, labels), sum(each) / 2, rtol=1e-15)
    np.testing.assert_allclose(tg.cross_entropy(logits, labels, reduction="sum"), sum(each))
    np.testing.assert_allclose(tg.cross_entropy(logits, labels, reduction="none"), each)
    np.testing.assert_allclose(
        gradient(lambda t: tg.cross_entropy(t, labels), logits),
        [[-3 / 8, 3 / 8], [1 / 8, -1 / 8]], rtol=1e-15,
    )  # fmt: skip
    np.testing.assert_allclose(
        gradient(lambda t: tg.cross_entropy(t, labels, reduction="none"), logits),
        [[-3 / 4, 3 / 4], [2 / 4, -2 / 4]], rtol=1e-15,
    )  # fmt: skip


def test_cross_entropy_with_options_by_hand() -> None:
    # probabilities 1/4 and 3/4 in each row
    logits, labels = np.tile([0, math.log(3)], (3, 1)), np.array([0, 1, 1])
    right, wrong = math.log(4 / 3), math.log(4)
    weighed = tg.cross_entropy(logits, labels, weight=np.array([3.0, 1.0]))
    np.testing.assert_allclose(weighed, (3 * wrong + 2 * right) / 5, rtol=1e-15)
    np.testing.assert_allclose(tg.cross_entropy(logits, labels, ignore_index=1), wrong, rtol=1e-15)
    smooth = tg.cross_entropy(logits, labels, "none", label_smoothing=0.5)
    expected = [0.75 * wrong + 0.25 * right] + [0.75 * right + 0.25 * wrong] * 2
    np.testing.assert_allclose(smooth, expected, rtol=1e-15)
    np.testing.assert_allclose(
        gradient(lambda t: tg.cross_entropy(t, labels, weight=np.array([3, 1])), logits),
        [[-9 / 20, 9 / 20], [1 / 20, -1 / 20], [1 / 20, -1 / 20]], rtol=1e-15,
    )  # fmt: skip
    np.testing.assert_allclose(
        gradient(lambda t: tg.cross_entropy(t, labels, label_smoothing=0.5), logits),
        [[-1 / 6, 1 / 6], [0, 0], [0, 0]], atol=1e-16,
    )  # fmt: skip


def test_ignored_labels_may_lie_outside_and_may_be_all_of_them() -> None:
    logits, labels = drawn(3, 4), np.array([-100, 2, -100])
    found = gradient(lambda t: tg.cross_entropy(t, labels, ignore_index=-100), logits)
    alone = gradient(lambda t: tg.cross_entropy(t, labels[1:2]), logits[1:2])
    np.testing.assert_allclose(found, [[0] * 4, alone[0], [0] * 4], rtol=1e-14)
    with pytest.raises(tg.InputError, match=r"labels.*between 0 and 3.*got -100 to 2"):
        tg.cross_entropy(logits, labels)
    for way in (lambda t: tg.cross_entropy(t, np.full(3, 7), ignore_index=7),):
        assert way(logits) == 0
        assert gradient(way, logits).tolist() == np.zeros((3, 4)).tolist()


def test_smoothed_labels_are_probabilities() -> None:
    logits, labels = drawn(4, 3), np.array([0, 2, 2, 1])
    smooth = 0.9 * np.eye(3)[labels] + 0.1 / 3
    np.testing.assert_allclose(
        tg.cross_entropy(logits, labels, label_smoothing=0.1), tg.cross_entropy(logits, smooth)
    )
    np.testing.assert_allclose(
        gradient(lambda t: tg.cross_entropy(t, labels, label_smoothing=0.1), logits),
        gradient(lambda t: tg.cross_entropy(t, smooth), logits), rtol=1e-13, atol=1e-16,
    )  # fmt: skip


def test_absolute_errors_by_hand() -> None:
    x, y = np.array([3.0, -1.0, 0.0, 0.5]), np.zeros(4)
    assert tg.l1_loss(x, y) == 4.5 / 4
    assert gradient(lambda t: tg.l1_loss(t, y, "sum"), x).tolist() == [1, -1, 0, 1]
    assert gradient(lambda t: tg.l1_loss(x, t), y).tolist() == [-1 / 4, 1 / 4, 0, -1 / 4]
    assert tg.huber_loss(x, y, "none", delta=2.0).tolist() == [4, 0.5, 0, 0.125]
    assert gradient(lambda t: tg.huber_loss(t, y, "sum", 2.0), x).tolist() == [2, -1, 0, 0.5]
    assert gradient(lambda t: tg.huber_loss(x, t, "sum", 2.0), y).tolist() == [-2, 1, 0, -0.5]
    assert tg.smooth_l1_loss(x, y, "none", beta=2.0).tolist() == [2, 0.25, 0, 0.0625]
    assert tg.smooth_l1_loss(x, y, "none", beta=0.0).tolist() == [3, 1, 0, 0.5]


@pytest.mark.parametrize(("x", "curvature"), [(0.0, 1), (0.5, 1), (1.0, 1), (-1.0, 1), (1.5, 0)])
def test_huber_loss_is_curved_where_the_error_is_zero_too(x: float, curvature: float) -> None:
    assert tg.grad(tg.grad(lambda x: tg.huber_loss(x, np.array(0.0))))(x) == curvature


def test_binary_losses_are_flat_and_curved_where_prediction_and_target_agree() -> None:
    y = np.array(0.25)
    with_p = tg.grad(lambda p: tg.binary_cross_entropy(p, y))
    assert (with_p(0.25), tg.grad(with_p)(0.25)) == (0, pytest.approx(16 / 3))  # 1 / p (1 - p)
    z = -math.log(3)
    with_z = tg.grad(lambda z: tg.binary_cross_entropy_with_logits(z, y))
    np.testing.assert_allclose((with_z(z), tg.grad(with_z)(z)), (0, 3 / 16), atol=1e-15)


def test_focal_losses_by_hand() -> None:
    # probability 3/4 of what is right, then of what is wrong
    z, y = np.array([math.log(3), math.log(3)]), np.array([1.0, 0.0])
    easy, hard = math.log(4 / 3) / 16, math.log(4) * 9 / 16
    f = tg.sigmoid_focal_loss
    np.testing.assert_allclose(f(z, y, alpha=-1.0), [easy, hard], rtol=1e-14)
    np.testing.assert_allclose(f(z, y), [easy / 4, hard * 3 / 4], rtol=1e-14)
    np.testing.assert_allclose(f(z, y, gamma=0.0, alpha=0.5, reduction="sum"),
                               0.5 * math.log(16 / 3), rtol=1e-14)  # fmt: skip
    logits, labels = np.array([[0.0, math.log(3)]] * 2), np.array([1, 0])
    both = tg.softmax_focal_loss(logits, labels, reduction="none")
    np.testing.assert_allclose(both, [easy, hard], rtol=1e-14)
    np.testing.assert_allclose(tg.softmax_focal_loss(logits, labels), (easy + hard) / 2)
    np.testing.assert_allclose(
        tg.softmax_focal_loss(logits, labels, gamma=0.0), tg.cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_focal_losses_far_out(gamma: float, dtype: Any) -> None:
    z, y = np.array([1e4, -1e4, 1e4, -1e4], dtype), np.array([1, 0, 0, 1], dtype)
    losses = tg.sigmoid_focal_loss(z, y, alpha=-1.0, gamma=gamma)
    assert losses.tolist() == [0, 0, 1e4, 1e4]
    found = gradient(lambda t: tg.sigmoid_focal_loss(t, y, -1.0, gamma, "sum"), z)
    assert found.tolist() == [0, 0, 1, -1]
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype)
    labels = np.array([0, 0])
    assert tg.softmax_focal_loss(logits, labels, gamma, "none").tolist() == [0, 2e4]
    found = gradient(lambda t: tg.softmax_focal_loss(t, labels, gamma, "sum"), logits)
    assert found.tolist() == [[0, 0], [-1, 1]]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_ways_to_cross_entropy_agree(reduction: str) -> None:
    logits, labels = drawn(6, 4), np.array([0, 3, 3, 1, 2, 0])
    ways: list[Callable[[Any], Any]] = [
        lambda t: tg.cross_entropy(t, labels, reduction=reduction),
        lambda t: tg.cross_entropy(t, np.eye(4)[labels], reduction=reduction),
        lambda t: tg.nll_loss(tg.log_softmax(t), labels, reduction=reduction),
        lambda t: tg.cross_entropy(t, Tensor(labels), reduction=reduction),
        lambda t: tg.cross_entropy(t, labels.astype(np.uint8), reduction=reduction),
        lambda t: tg.cross_entropy(t, labels.astype(">i4"), reduction=reduction),
        lambda t: tg.cross_entropy(logits=t, labels=labels.tolist(), reduction=reduction),
    ]
    for way in ways:
        np.testing.assert_allclose(way(Tensor(logits)).numpy(), ways[0](logits), rtol=1e-14)
        np.testing.assert_allclose(
            gradient(way, logits), gradient(ways[0], logits), rtol=1e-13, atol=1e-15
        )


def test_the_two_binary_losses_agree() -> None:
    z, y = drawn(3, 4), fractions(3, 4)
    np.testing.assert_allclose(
        tg.binary_cross_entropy(tg.sigmoid(z), y), tg.binary_cross_entropy_with_logits(z, y)
    )
    np.testing.assert_allclose(
        gradient(lambda t: tg.binary_cross_entropy(tg.sigmoid(t), y), z),
        gradient(lambda t: tg.binary_cross_entropy_with_logits(t, y), z),
    )
    assert tg.binary_cross_entropy(np.array([0.25]), np.array([1.0])) == math.log(4)


# -- far out -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cross_entropy_far_out(dtype: Any) -> None:
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
    labels = np.array([0, 0])
    assert tg.cross_entropy(logits, labels, reduction="none").tolist() == [0, 2e4]
    found = gradient(lambda t: tg.cross_entropy(t, labels, reduction="sum"), logits)
    assert found.tolist() == [[0, 0, 0], [-1, 1, 0]]
    assert found.dtype == dtype


def test_cross_entropy_with_excluded_classes() -> None:
    logits, labels = np.array([[0.0, 0, -math.inf], [1.0, 2, 3]]), np.array([0, 2])
    found = gradient(lambda t: tg.cross_entropy(t, labels, reduction="sum"), logits)
    assert found[0].tolist() == [-0.5, 0.5, 0]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_binary_losses_far_out(dtype: Any) -> None:
    z, y = np.array([-1e4, 1e4, 1e4, -1e4, 0], dtype), np.array([0, 1, 0, 1, 0.5], dtype)
    f = tg.binary_cross_entropy_with_logits
    np.testing.assert_allclose(f(z, y, "none"), [0, 0, 1e4, 1e4, math.log(2)], rtol=1e-6)
    assert gradient(lambda t: f(t, y, "sum"), z).tolist() == [0, 0, 1, -1, 0]
    assert gradient(lambda t: f(z, t, "sum"), y).tolist() == (-z).tolist()

    p = np.array([0, 1, 1, 0, 0.5], dtype)
    np.testing.assert_allclose(
        tg.binary_cross_entropy(p, y, "none"), [0, 0, 100, 100, math.log(2)], rtol=1e-6
    )
    found = gradient(lambda t: tg.binary_cross_entropy(t, y, "sum"), p)
    np.testing.assert_allclose(found, [1, -1, 1e12, -1e12, 0], rtol=1e-6)
    assert found.dtype == dtype


# -- dtype, shape, readings ------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("f", [*PAIRED, *LABELLED], ids=name)
def test_float32_stays_and_nothing_is_written_into(f: Any, reduction: str) -> None:
    x = fractions(4, 3).astype(np.float32)
    y = np.array([0, 1, 2, 2]) if f in LABELLED else x[::-1].copy()
    x.flags.writeable = y.flags.writeable = False
    t = Tensor(x, requires_grad=True)
    loss = f(t, y, reduction=reduction)
    assert loss.dtype == np.float32
    assert loss.shape == (() if reduction != "none" else (4,) if f in LABELLED else (4, 3))
    loss.backward(np.ones(loss.shape))
    assert t.grad.dtype == np.float32


@pytest.mark.parametrize("f", [*PAIRED, *LABELLED], ids=name)
def test_empty(f: Any) -> None:
    y = np.zeros(0, int) if f in LABELLED else np.zeros((0, 3))
    for reduction in ("sum", "none"):
        assert gradient(lambda t, r=reduction: f(t, y, reduction=r), np.zeros((0, 3))).shape == (
            0,
            3,
        )


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("f", [*PAIRED, *LABELLED], ids=name)
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_the_mean_of_no_losses_is_nan(f: Any, dtype: Any) -> None:
    x = np.zeros((0, 3), dtype)
    t = Tensor(x, requires_grad=True)
    loss = f(t, np.zeros(0, int) if f in LABELLED else x, reduction="mean")
    assert np.isnan(loss.data)
    loss.backward()
    assert t.grad.shape == (0, 3)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("f", [*PAIRED, *LABELLED], ids=name)
def test_the_same_on_dask_arrays(f: Any, reduction: str) -> None:
    da = pytest.importorskip("dask.array")
    x = fractions(5, 3)
    y = np.array([0, 1, 2, 2, 0]) if f in LABELLED else fractions(3, 5).T
    plain = gradient(lambda t: f(t, y, reduction=reduction), x)
    for labels in (y, da.from_array(y, chunks=2)):
        t = Tensor(da.from_array(x, chunks=2), requires_grad=True)
        loss = f(t, labels, reduction=reduction)
        loss.backward(da.arange(1.0, loss.size + 1, chunks=loss.size).reshape(loss.shape))
        assert isinstance(t.grad, da.Array)
        np.testing.assert_allclose(t.grad.compute(), plain, rtol=1e-13)
        np.testing.assert_allclose(loss.detach().numpy(), f(x, y, reduction=reduction), rtol=1e-13)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("f", LABELLED, ids=name)
def test_the_fast_way_and_the_general_way_agree(f: Any, reduction: str) -> None:
    # differentiable gradients take the general way: a one-hot comparison
    t, labels = Tensor(drawn(5, 4), requires_grad=True), np.array([3, 0, 0, 2, 1])
    loss = f(t, labels, reduction=reduction)
    g = np.arange(1.0, loss.size + 1).reshape(loss.shape)
    general = tg.gradients(loss, t, g, create_graph=True, retain_graph=True)
    np.testing.assert_allclose(general.detach().numpy(), tg.gradients(loss, t, g), rtol=1e-14)


@pytest.mark.parametrize("f", [*PAIRED, *LABELLED], ids=name)
def test_traced_programs_give_the_same(f: Any) -> None:
    x = fractions(4, 3)
    y = np.array([0, 1, 2, 2]) if f in LABELLED else fractions(3, 4).T
    program = tg.trace(lambda x, y: f(x, y), x, y)
    value, (found, *_) = program(x, y)
    np.testing.assert_allclose(value, f(x, y), rtol=1e-14)
    np.testing.assert_allclose(found, gradient(lambda t: f(t, y), x), rtol=1e-14)


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [np.array, lambda x: Tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("f", "y", "options", "error", "message"),
    [
        (tg.cross_entropy, [0, 3], {}, tg.InputError, "labels.*between 0 and 2.*got 0 to 3"),
        (tg.cross_entropy, [-1, 0], {}, tg.InputError, "labels.*between 0 and 2.*got -1 to 0"),
        (tg.nll_loss, [0, 9], {}, tg.InputError, "nll_loss.*labels.*between 0 and 2"),
        (tg.cross_entropy, [0.0, 1.0], {}, tg.DtypeError, "integer labels, got float64"),
        (tg.cross_entropy, [True, False], {}, tg.DtypeError, "integer labels, got bool"),
        (tg.cross_entropy, [0, 1, 2], {}, tg.InputError, r"labels \(N,\), got \(2, 3\) and \(3,\)"),
        (tg.nll_loss, [[0.0] * 3] * 2, {}, tg.InputError, r"got \(2, 3\) and \(2, 3\)"),
        (
            tg.cross_entropy,
            [[0.0], [1.0]],
            {},
            tg.InputError,
            r"labels \(N,\), got \(2, 3\) and \(2, 1\)",
        ),
        (tg.cross_entropy, [0, 1], {"weight": [1.0, 2.0]}, tg.InputError, "each of 3 classes, got"),
        (tg.cross_entropy, [0, 1], {"label_smoothing": 2}, tg.InputError, "smoothing from 0 to 1"),
        (tg.cross_entropy, np.ones((2, 3)), {"ignore_index": 0}, tg.InputError, "labels alone"),
        (tg.cross_entropy, [0, 7], {"ignore_index": 1}, tg.InputError, "between 0 and 2"),
        (tg.huber_loss, np.ones((2, 3)), {"delta": 0}, tg.InputError, "a positive delta, got 0"),
        (tg.smooth_l1_loss, np.ones((2, 3)), {"beta": -1}, tg.InputError, "a positive delta"),
        (tg.softmax_focal_loss, [0, 3], {}, tg.InputError, "labels.*between 0 and 2"),
        (tg.mse_loss, [1.0, 2.0, 3.0], {}, tg.InputError, r"mse_loss: .*\(2, 3\) and \(3,\)"),
        (tg.binary_cross_entropy, 1.0, {}, tg.InputError, "binary_cross_entropy: pred"),
        (tg.binary_cross_entropy_with_logits, [[1.0]], {}, tg.InputError, "with_logits: pred"),
        *(
            (
                f,
                [0, 1],
                {"reduction": "avg"},
                tg.InputError,
                r"\w+: expected reduction 'mean', 'sum'",
            )
            for f in LABELLED
        ),
        *(
            (f, np.ones((2, 3)), {"reduction": None}, tg.InputError, "'mean', 'sum' or 'none', got")
            for f in PAIRED
        ),
    ],
)
def test_refused(wrap: Any, f: Any, y: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(wrap(np.full((2, 3), 0.5)), np.array(y), **options)


def test_a_tracked_weight_is_refused() -> None:
    weight = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(tg.UnsupportedError, match=r"cross_entropy: .*'weight'.*tracked"):
        tg.cross_entropy(Tensor(np.ones((2, 3))), np.array([0, 1]), weight=weight)


def test_labels_may_not_be_a_number_or_have_logits_of_one_example() -> None:
    with pytest.raises(tg.InputError, match=r"logits \(N, C\) and labels \(N,\), got \(3,\)"):
        tg.cross_entropy(np.ones(3), np.array(1))


def test_mean_squared_error_adds_up_pairwise_and_without_overflow() -> None:
    assert tg.mse_loss(np.full(100_000, 2, "e"), np.zeros(100_000, "e")) == 4.0
    rng = np.random.default_rng(0)
    x = rng.random(1_000_000, dtype=np.float32)
    exact = np.mean(x.astype(float) ** 2)
    assert abs(tg.mse_loss(x, np.zeros_like(x)) / exact - 1) < 1e-6

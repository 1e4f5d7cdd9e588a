"""Losses of comparisons: by hand, at their corners, and against loops over examples."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

RNG = np.random.default_rng(8)
X, Y, Z = RNG.normal(size=(3, 5, 4))
SIGNS = np.array([1, -1, 1, 1, -1])


def gradients(f: Any, *xs: Any) -> list[Any]:
    tensors = [Tensor(np.array(x, float), requires_grad=True) for x in xs]
    np.sum(f(*tensors)).backward()
    return [t.grad.tolist() for t in tensors]


def norm(x: Any) -> float:
    return math.sqrt(sum(float(v) ** 2 for v in x))


def reductions_agree(f: Any, each: Any, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(f("none"), each, rtol=rtol)
    np.testing.assert_allclose(f("sum"), np.sum(each), rtol=rtol)
    np.testing.assert_allclose(f("mean"), np.mean(each), rtol=rtol)


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin_loss(p: int) -> None:
    labels = np.array([0, 3, 3, 1, 2])
    each = [
        sum(max(0.0, 0.5 - row[y] + row[j]) ** p for j in range(4) if j != y) / 4
        for row, y in zip(X, labels, strict=True)
    ]
    reductions_agree(lambda how: tg.multi_margin_loss(X, labels, p, 0.5, how), each)


def test_multi_margin_loss_by_hand() -> None:
    x, labels = [[2.0, 1.5, 1.0, 0.0]], np.array([0])  # short by 0.5; exactly 1 away; 2 away
    (found,) = gradients(lambda t: tg.multi_margin_loss(t, labels), x)
    assert found == [[-1 / 4, 1 / 4, 0, 0]]
    (found,) = gradients(lambda t: tg.multi_margin_loss(t, labels, p=2), x)
    assert found == [[-1 / 4, 1 / 4, 0, 0]]  # 2 · 0.5 / 4


def test_margin_ranking_loss() -> None:
    signs = np.sign(Z)
    each = np.maximum(0, 0.3 - signs * (X - Y))
    reductions_agree(lambda how: tg.margin_ranking_loss(X, Y, signs, 0.3, how), each)
    found = gradients(
        lambda a, b: tg.margin_ranking_loss(a, b, np.array([1, -1, 1]), 0.5, "sum"),
        [0.0, 0.0, 1.0], [0.0, 0.0, 0.0],
    )  # fmt: skip
    assert found == [[-1, 1, 0], [1, -1, 0]]


def test_soft_margin_loss() -> None:
    signs = np.sign(Z)
    reductions_agree(lambda how: tg.soft_margin_loss(X, signs, how), np.log1p(np.exp(-signs * X)))
    far = np.array([1e4, -1e4, 0.0])
    assert tg.soft_margin_loss(far, np.array([-1, -1, 1]), "none").tolist() == [1e4, 0, math.log(2)]
    (found,) = gradients(lambda t: tg.soft_margin_loss(t, np.array([-1, -1, 1]), "sum"), far)
    assert found == [1, 0, -0.5]


def test_negative_sampling_loss() -> None:
    positive, negative = X[:, 0], Y
    each = np.log1p(np.exp(-positive)) + np.log1p(np.exp(negative)).sum(axis=1)
    reductions_agree(lambda how: tg.negative_sampling_loss(positive, negative, how), each)
    by_positive, by_negative = gradients(
        lambda p, n: tg.negative_sampling_loss(p, n), [math.log(3)], [[0.0, math.log(3)]]
    )
    np.testing.assert_allclose(by_positive, [-1 / 4], rtol=1e-14)
    np.testing.assert_allclose(by_negative, [[1 / 2, 3 / 4]], rtol=1e-14)


def test_hinge_embedding_loss() -> None:
    signs = np.sign(Z)
    each = np.where(signs > 0, X, np.maximum(0, 0.5 - X))
    reductions_agree(lambda how: tg.hinge_embedding_loss(X, signs, 0.5, how), each)
    signs = np.array([1, -1, -1, -1])
    (found,) = gradients(
        lambda t: tg.hinge_embedding_loss(t, signs, reduction="sum"), [5, 0.5, 1, 2]
    )
    assert found == [1, -1, 0, 0]


def test_contrastive_loss() -> None:
    labels = np.array([0, 1, 1, 0, 1])
    each = [
        norm(x - y) ** 2 / 2 if not label else max(0, 3 - norm(x - y)) ** 2 / 2
        for x, y, label in zip(X, Y, labels, strict=True)
    ]
    reductions_agree(lambda how: tg.contrastive_loss(X, Y, labels, 3.0, how), each)


def test_contrastive_loss_by_hand() -> None:
    x = [[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [0.0, 0.0]]  # a distance of 5 from 0; the same as 0
    y, labels = np.zeros((4, 2)), np.array([0, 1, 1, 1])
    (found,) = gradients(lambda t: tg.contrastive_loss(t[:2], y[:2], labels[:2], 10.0, "sum"), x)
    np.testing.assert_allclose(found, [[3, 4], [-3, -4], [0, 0], [0, 0]])  # (10 - 5) · unit vector
    (found,) = gradients(lambda t: tg.contrastive_loss(t[2:], y[2:], labels[2:], 5.0, "sum"), x)
    assert found == [[0, 0]] * 4  # far enough; and no direction to go


@pytest.mark.parametrize("margin", [-0.5, 0.0, 0.4])
def test_cosine_embedding_loss(margin: float) -> None:
    cosines = [x @ y / norm(x) / norm(y) for x, y in zip(X, Y, strict=True)]
    each = [
        1 - c if sign > 0 else max(0, c - margin) for c, sign in zip(cosines, SIGNS, strict=True)
    ]
    reductions_agree(lambda how: tg.cosine_embedding_loss(X, Y, SIGNS, margin, how), each, 1e-10)


def test_cosine_embedding_loss_by_hand() -> None:
    by_x, by_y = gradients(
        lambda x, y: tg.cosine_embedding_loss(x, y, np.array(1)), [2.0, 0.0], [0.0, 3.0]
    )
    np.testing.assert_allclose(by_x, [0, -1 / 2], atol=1e-12)  # turn towards the other
    np.testing.assert_allclose(by_y, [-1 / 3, 0], atol=1e-12)
    by_x, by_y = gradients(
        lambda x, y: tg.cosine_embedding_loss(x, y, np.array(1)), [0.0, 0.0], [1.0, 0.0]
    )
    assert np.isfinite(by_x).all()
    assert by_y == [0, 0]


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_triplet_margin_loss(p: float, swap: bool) -> None:
    def distance(a: Any, b: Any) -> float:
        return sum(abs(float(u - v) + 1e-3) ** p for u, v in zip(a, b, strict=True)) ** (1 / p)

    each = []
    for a, b, c in zip(X, Y, Z, strict=True):
        far = min(distance(a, c), distance(b, c)) if swap else distance(a, c)
        each.append(max(0.0, distance(a, b) - far + 0.7))
    reductions_agree(lambda how: tg.triplet_margin_loss(X, Y, Z, 0.7, p, 1e-3, swap, how), each)


def test_triplet_margin_loss_by_hand() -> None:
    at = [[0.0, 0.0]], [[3.0, 4.0]], [[0.0, -2.0]]
    found = gradients(lambda a, p, n: tg.triplet_margin_loss(a, p, n, eps=0.0), *at)
    expected = [[-3 / 5, -4 / 5 - 1]], [[3 / 5, 4 / 5]], [[0, 1]]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    found = gradients(lambda a, p, n: tg.triplet_margin_loss(a, n, p, eps=0.0), *at)
    assert found == [[[0, 0]]] * 3  # 2 - 5 + 1 < 0


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: tg.margin_ranking_loss(x, y, SIGNS),
        lambda x, y: tg.soft_margin_loss(x, SIGNS),
        lambda x, y: tg.hinge_embedding_loss(x, Tensor(SIGNS)),
        lambda x, y: tg.cosine_embedding_loss(x[:, None], y[:, None], SIGNS.tolist()),
        lambda x, y: tg.contrastive_loss(x[:, None], y[:, None], SIGNS > 0),
        lambda x, y: tg.negative_sampling_loss(x, y[:, None]),
        lambda x, y: tg.triplet_margin_loss(x[:, None], y[:, None], y[:, None] + 1),
    ],
)
def test_float32_stays_float32(f: Any) -> None:
    x, y = (Tensor(a[:, 0].astype(np.float32), requires_grad=True) for a in (X, Y))
    loss = f(x, y)
    loss.backward()
    assert (loss.dtype, loss.shape, x.grad.dtype) == (np.float32, (), np.float32)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("n", [0, 1])
def test_few_examples(n: int) -> None:
    x, signs = np.ones((n, 2)), np.ones(n)
    for loss in (
        tg.cosine_embedding_loss(x, x, signs),
        tg.contrastive_loss(x, x, signs),
        tg.negative_sampling_loss(signs, x),
        tg.multi_margin_loss(x, signs.astype(int)),
        tg.triplet_margin_loss(x, x, x + 1),
    ):
        assert np.shape(loss) == ()
        assert np.isnan(loss) == (n == 0)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: tg.margin_ranking_loss(x, x, np.ones(2)), tg.InputError, r"targets y of shape"),
        (lambda x: tg.margin_ranking_loss(x, x, np.zeros((2, 3))), tg.InputError, "are -1 or 1"),
        (
            lambda x: tg.soft_margin_loss(x, np.full((2, 3), 2)),
            tg.InputError,
            r"soft_margin_loss: .*-1 or",
        ),
        (lambda x: tg.contrastive_loss(x, x, [1, -1]), tg.InputError, "that are 0 or 1"),
        (
            lambda x: tg.cosine_embedding_loss(x, x[0], [1, 1]),
            tg.InputError,
            "cosine_embedding_loss: pred",
        ),
        (
            lambda x: tg.hinge_embedding_loss(x, 1),
            tg.InputError,
            r"hinge_embedding_loss: .*got \(\)",
        ),
        (
            lambda x: tg.multi_margin_loss(x, np.array([0, 3])),
            tg.InputError,
            "labels.*between 0 and 2",
        ),
        (lambda x: tg.multi_margin_loss(x, np.array([0.0, 1])), tg.DtypeError, "integer labels"),
        (
            lambda x: tg.multi_margin_loss(x, np.array([0, 1]), p=3),
            tg.InputError,
            "p = 1 or 2, got 3",
        ),
        (
            lambda x: tg.negative_sampling_loss(x, x),
            tg.InputError,
            r"negative of shape \(2, 3, 'K'\)",
        ),
        (
            lambda x: tg.triplet_margin_loss(x, x, x[0]),
            tg.InputError,
            "triplet_margin_loss: predictions",
        ),
        (lambda x: tg.triplet_margin_loss(x, x, x, p=0), tg.InputError, "a positive p, got 0"),
        (
            lambda x: tg.soft_margin_loss(x, np.ones((2, 3)), "avg"),
            tg.InputError,
            "expected reduction",
        ),
    ],
)
def test_refused(f: Any, error: Any, message: str) -> None:
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3)), requires_grad=True)):
        with pytest.raises(error, match=message):
            f(x)


def test_tracked_targets_are_refused() -> None:
    x = Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(tg.UnsupportedError, match=r"soft_margin_loss: .*'y'.*tracked"):
        tg.soft_margin_loss(x, x)


def test_triplets_by_their_largest_difference() -> None:
    """From lists, too: |(1, 3, 2)| - |(.5, .1, .2)| + 1 in the maximum norm."""
    f = partial(tg.triplet_margin_loss, p=np.inf, eps=0.0)
    triplet: Any = ([[0.0, 0, 0]], [[1.0, 3, 2]], [[0.5, 0.1, 0.2]])
    np.testing.assert_allclose(f(*triplet), 3.5, rtol=1e-15)
    assert gradients(f, *triplet) == [[[1, -1, 0]], [[0, 1, 0]], [[-1, 0, 0]]]

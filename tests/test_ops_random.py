"""Random ops: the Generator's own numbers, their gradients, dropout, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

LOCATED: list[Any] = [tg.normal, tg.laplace, tg.logistic, tg.gumbel]
ALL: list[Any] = [*LOCATED, tg.lognormal, tg.uniform]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [(), (0.5,), (0.5, 2.0), ([0.5, 1.0], 2.0), (0.5, 2.0, (3, 2)), (np.zeros((2, 1)), [1.0, 2])],
)
@pytest.mark.parametrize("f", ALL)
def test_the_numbers_are_those_of_the_generator(f: Any, args: Any) -> None:
    found, expected = f(*args, rng=rng()), getattr(rng(), f.__name__)(*args)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert np.shape(found) == np.shape(expected)
    assert isinstance(found, type(expected))


@pytest.mark.parametrize("args", [(), (2.0,), ([0.5, 1.0],), (2.0, (2, 3)), (2.0, 4)])
def test_exponential_numbers_are_those_of_the_generator(args: Any) -> None:
    np.testing.assert_allclose(
        tg.exponential(*args, rng=rng()), rng().exponential(*args), rtol=1e-14
    )


@pytest.mark.parametrize("f", LOCATED)
def test_gradient_of_location_and_scale(f: Any) -> None:
    loc, scale = Tensor([1.0, -2.0], requires_grad=True), Tensor(3.0, requires_grad=True)
    sample = f(loc, scale, (4, 2), rng=rng())
    g = np.arange(8.0).reshape(4, 2)
    sample.backward(g)
    noise = (sample.numpy() - loc.data) / 3
    np.testing.assert_allclose(loc.grad, g.sum(axis=0))
    np.testing.assert_allclose(scale.grad, (g * noise).sum(), rtol=1e-13)


def test_gradients_of_the_others() -> None:
    low, high = Tensor(1.0, requires_grad=True), Tensor(5.0, requires_grad=True)
    sample = tg.uniform(low, high, rng=rng())
    sample.backward()
    part = (sample.item() - 1) / 4
    np.testing.assert_allclose([low.grad, high.grad], [1 - part, part])

    scale = Tensor(5.0, requires_grad=True)
    sample = tg.exponential(scale, rng=rng())
    sample.backward()
    np.testing.assert_allclose(scale.grad, sample.item() / 5)

    mean, sigma = Tensor(1.0, requires_grad=True), Tensor(0.5, requires_grad=True)
    sample = tg.lognormal(mean, sigma, rng=rng())
    sample.backward()
    noise = (math.log(sample.item()) - 1) / 0.5
    np.testing.assert_allclose([mean.grad, sigma.grad], sample.item() * np.array([1, noise]))


def test_the_gradient_of_an_expectation() -> None:
    # E[(loc + scale z)²] = loc² + scale², so its gradient is 2 loc, 2 scale
    gradients = tg.grad(
        lambda loc, scale: np.mean(tg.normal(loc, scale, 100_000, rng=rng()) ** 2), argnums=(0, 1)
    )(0.5, 1.5)
    np.testing.assert_allclose(gradients, [1, 3], atol=0.05)


@pytest.mark.parametrize("f", ALL)
def test_float32_parameters_give_float32_samples(f: Any) -> None:
    t = Tensor(np.ones(3, "f"), requires_grad=True)
    sample = f(t, np.full(3, 2, "f"), rng=rng())
    sample.backward(np.ones(3))
    assert sample.dtype == t.grad.dtype == np.float32
    assert f(t, 2.0, rng=rng()).dtype == np.float32


@pytest.mark.parametrize("f", ALL)
def test_empty_samples(f: Any) -> None:
    assert f(0.0, 1.0, 0, rng=rng()).shape == (0,)
    assert f(Tensor(np.zeros((0, 2)), requires_grad=True), 1.0, rng=rng()).shape == (0, 2)


@pytest.mark.parametrize("f", [*ALL, tg.exponential, tg.dropout])
@pytest.mark.parametrize("wrong", [None, 0, np.random, np.random.RandomState(0)])
def test_a_generator_is_required(f: Any, wrong: Any) -> None:
    args = (np.ones(2),) if f is tg.dropout else ()
    with pytest.raises(tg.DtypeError, match=f"{f.__name__}: expected rng to be a numpy.random.Gen"):
        f(*args, rng=wrong)


@pytest.mark.parametrize("f", [tg.normal, tg.exponential, tg.gumbel_softmax])
def test_a_generator_is_a_keyword(f: Any) -> None:
    with pytest.raises(TypeError, match="rng"):
        f(np.ones(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.normal(0.0, -1.0, rng=rng()), "normal: expected scale of at least 0, got -1"),
        (lambda: tg.laplace(0.0, [1.0, -2.0], rng=rng()), "laplace: .* got -2.0"),
        (lambda: tg.lognormal(0.0, Tensor(-1.0), rng=rng()), "lognormal: expected scale"),
        (lambda: tg.exponential(-1.0, rng=rng()), "exponential: expected scale"),
        (lambda: tg.uniform(1.0, 0.0, rng=rng()), "uniform: expected high - low of at least 0"),
        (lambda: tg.dropout(np.ones(2), 1.5, rng=rng()), "dropout: expected p .* got 1.5"),
        (lambda: tg.dropout(np.ones(2), math.nan, rng=rng()), "dropout: expected p .* got nan"),
        (lambda: tg.gumbel_softmax(np.ones(2), 0.0, rng=rng()), "expected tau > 0, got 0.0"),
    ],
)
def test_refused(call: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        call()


# -- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dropout_keeps_the_mean(p: float, dtype: Any) -> None:
    x = Tensor(np.full(20_000, 3, dtype), requires_grad=True)
    y = tg.dropout(x, p, rng=rng())
    y.backward(np.full(20_000, 2.0))
    dropped = y.numpy() == 0
    assert abs(dropped.mean() - p) < 0.02
    np.testing.assert_allclose(y.numpy()[~dropped], 3 / (1 - p), rtol=1e-6)
    np.testing.assert_array_equal(x.grad == 0, dropped)
    np.testing.assert_allclose(x.grad[~dropped], 2 / (1 - p), rtol=1e-6)
    assert y.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("x", [np.array([1.0, -2.0]), np.array([math.inf, math.nan])])
def test_dropout_of_nothing_and_of_everything(x: np.ndarray) -> None:
    t = Tensor(x, requires_grad=True)
    np.testing.assert_array_equal(tg.dropout(t, 0.0, rng=rng()).numpy(), x)
    y = tg.dropout(t, 1.0, rng=rng())
    y.backward(np.ones(2))
    assert y.numpy().tolist() == [0, 0]
    assert t.grad.tolist() == [0, 0]


def test_dropout_outside_training_is_the_identity_and_draws_nothing() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    assert tg.dropout(t, 0.5, training=False) is t


def test_the_mask_is_drawn_once_per_forward_pass() -> None:
    t, generator = Tensor(np.ones(50), requires_grad=True), rng()
    y = tg.dropout(t, rng=generator)
    state = generator.bit_generator.state
    y.backward(np.ones(50), retain_graph=True)
    first = t.grad.copy()
    y.backward(np.ones(50))
    np.testing.assert_array_equal(t.grad, 2 * first)
    np.testing.assert_array_equal(first, y.numpy())
    assert generator.bit_generator.state == state
    assert not np.array_equal(tg.dropout(t, rng=generator).numpy(), y.numpy())


def test_dropout_under_checkpoint_needs_a_generator_of_its_own() -> None:
    x = Tensor(np.ones(50), requires_grad=True)
    tg.checkpoint(lambda t: tg.dropout(t, rng=rng(1)))(x).backward(np.ones(50))
    np.testing.assert_array_equal(x.grad, tg.dropout(np.ones(50), rng=rng(1)))

    outside = rng(1)
    y = tg.checkpoint(lambda t: tg.dropout(t, rng=outside))(x)
    with pytest.raises(tg.GraphError, match="checkpoint"):
        y.backward(np.ones(50))


# -- soft choices --------------------------------------------------------------------------------


def test_gumbel_softmax_is_the_softmax_of_noisy_logits() -> None:
    logits = np.log(np.array([[0.2, 0.3, 0.5]]))
    found = tg.gumbel_softmax(logits, 0.5, rng=rng())
    noisy = np.exp((logits + rng().gumbel(size=(1, 3))) / 0.5)
    np.testing.assert_allclose(found, noisy / noisy.sum(), rtol=1e-13)
    assert tg.gumbel_softmax(logits.astype("f"), rng=rng()).dtype == np.float32


def test_hard_choices_are_one_hot_and_have_the_probabilities_of_the_softmax() -> None:
    logits = np.broadcast_to(np.log(np.array([0.2, 0.3, 0.5])), (20_000, 3))
    found = tg.gumbel_softmax(logits, hard=True, rng=rng())
    assert set(found.reshape(-1)) == {0.0, 1.0}
    np.testing.assert_array_equal(found.sum(axis=1), 1)
    np.testing.assert_allclose(found.mean(axis=0), [0.2, 0.3, 0.5], atol=0.02)


@pytest.mark.parametrize("axis", [0, -1])
def test_hard_choices_have_the_gradient_of_the_soft_ones(axis: int) -> None:
    logits = rng(3).normal(size=(3, 4))
    g = rng(4).normal(size=(3, 4))
    gradients = []
    for hard in (True, False):
        t = Tensor(logits, requires_grad=True)
        y = tg.gumbel_softmax(t, 0.7, hard, axis, rng=rng())
        y.backward(g)
        np.testing.assert_allclose(y.numpy().sum(axis=axis), 1, rtol=1e-14)
        gradients.append(t.grad)
    np.testing.assert_allclose(*gradients, rtol=1e-14)
    assert gradients[0].any()


@pytest.mark.parametrize("f", [*ALL, tg.exponential, tg.gumbel_softmax])
def test_who_forgets_the_generator_is_told_how_to_make_one(f: Any) -> None:
    with pytest.raises(tg.DtypeError, match=r"rng=np.random.default_rng\(0\)"):
        f(Tensor(np.ones(3)))


def test_dropout_of_one_number() -> None:
    out = tg.dropout(tg.Tensor(1.0, requires_grad=True), 0.5, rng=np.random.default_rng(0))
    assert out.item() in (0.0, 2.0)

"""Losses that come from distributions: by hand, and against the densities themselves."""

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

RNG = np.random.default_rng(6)
MEAN, SEEN = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
VAR = RNG.uniform(0.2, 3.0, size=(4, 3))


def gradient(f: Any, x: Any) -> Any:
    t = Tensor(x, requires_grad=True)
    np.sum(f(t)).backward()
    return t.grad


def test_gaussian_nll_is_the_logarithm_of_the_density() -> None:
    density = np.exp(-((SEEN - MEAN) ** 2) / (2 * VAR)) / np.sqrt(2 * math.pi * VAR)
    full = tg.gaussian_nll_loss(MEAN, SEEN, VAR, full=True, reduction="none")
    np.testing.assert_allclose(full, -np.log(density), rtol=1e-12)
    short = tg.gaussian_nll_loss(MEAN, SEEN, VAR, reduction="none")
    np.testing.assert_allclose(full - short, math.log(2 * math.pi) / 2, rtol=1e-12)
    for options in ({"full": True}, {}):
        losses = tg.gaussian_nll_loss(MEAN, SEEN, VAR, **options, reduction="none")
        np.testing.assert_allclose(
            tg.gaussian_nll_loss(MEAN, SEEN, VAR, **options), losses.mean(), rtol=1e-14
        )


def test_gaussian_nll_by_hand() -> None:
    x, y, var = np.array([3.0, 1.0]), np.array([1.0, 1.0]), np.array([4.0, 0.5])

    def f(x: Any, y: Any, var: Any) -> Any:
        return tg.gaussian_nll_loss(x, y, var, reduction="sum")

    np.testing.assert_allclose(f(x, y, var), (math.log(4) + 1 + math.log(0.5)) / 2, rtol=1e-15)
    by_x, by_y, by_var = tg.grad(f, (0, 1, 2))(x, y, var)
    assert by_x.tolist() == [0.5, 0]
    assert by_y.tolist() == [-0.5, 0]
    np.testing.assert_allclose(by_var, [(1 / 4 - 4 / 16) / 2, 1])


def test_one_variance_may_serve_a_row() -> None:
    var = VAR[:, :1]
    found = gradient(lambda v: tg.gaussian_nll_loss(MEAN, SEEN, v, reduction="sum"), var)
    wide = gradient(lambda v: tg.gaussian_nll_loss(MEAN, SEEN, v, reduction="sum"),
                    np.repeat(var, 3, axis=1))  # fmt: skip
    np.testing.assert_allclose(found, wide.sum(axis=1, keepdims=True), rtol=1e-13)


def test_a_variance_counts_as_eps_at_least() -> None:
    x, y = np.array([1.0]), np.array([0.0])
    f = tg.gaussian_nll_loss
    assert f(x, y, np.array([0.0]), eps=0.5) == f(x, y, np.array([0.5]))
    assert gradient(lambda v: f(x, y, v, eps=0.5), [0.25]) == [0]


@pytest.mark.parametrize("log_input", [True, False])
def test_poisson_nll_is_the_logarithm_of_the_probability(log_input: bool) -> None:
    rate, counts = VAR, RNG.poisson(20, size=(4, 3)).astype(float)
    x = np.log(rate) if log_input else rate
    exact = rate - counts * np.log(rate) + np.vectorize(math.lgamma)(counts + 1)
    f = tg.poisson_nll_loss
    found = f(x, counts, log_input, full=True, eps=0.0, reduction="none")
    np.testing.assert_allclose(found, exact, rtol=1e-3)  # Stirling's error is 1 / 12 n
    np.testing.assert_allclose(
        f(x, counts, log_input), f(x, counts, log_input, reduction="none").mean()
    )
    slope = rate - counts if log_input else 1 - counts / rate
    np.testing.assert_allclose(
        gradient(lambda t: f(t, counts, log_input, reduction="sum"), x), slope, rtol=1e-6
    )


def test_small_counts_have_no_stirling_term() -> None:
    x, counts = np.zeros(3), np.array([0.0, 1.0, 2.0])
    extra = tg.poisson_nll_loss(x, counts, full=True, reduction="none") - 1
    np.testing.assert_allclose(extra, [0, 0, 2 * math.log(2) - 2 + math.log(4 * math.pi) / 2])


def test_poisson_nll_adds_eps_to_a_rate() -> None:
    found = tg.poisson_nll_loss(np.array([0.0]), np.array([2.0]), log_input=False, eps=math.e)
    assert found == -2


def test_kl_div_by_hand() -> None:
    p, q = np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([[0.25, 0.75], [0.5, 0.5]])
    each = [[math.log(2) / 2, math.log(2 / 3) / 2], [0, math.log(2)]]
    np.testing.assert_allclose(tg.kl_div(np.log(q), p, "none"), each, rtol=1e-15)
    np.testing.assert_allclose(tg.kl_div(np.log(q), p), np.mean(each), rtol=1e-15)
    np.testing.assert_allclose(tg.kl_div(np.log(q), p, "batchmean"), np.sum(each) / 2, rtol=1e-15)
    assert gradient(lambda x: tg.kl_div(x, p, "sum"), np.log(q)).tolist() == (-p).tolist()
    by_p = gradient(lambda y: tg.kl_div(np.log(q[:1]), y, "sum"), p[:1])  # log p - log q + 1
    np.testing.assert_allclose(by_p, [[math.log(2) + 1, math.log(2 / 3) + 1]])


def test_kl_div_takes_logarithms_as_targets() -> None:
    p, q = tg.softmax(MEAN), tg.log_softmax(SEEN)
    f = tg.kl_div
    np.testing.assert_allclose(
        f(q, np.log(p), "none", log_target=True), f(q, p, "none"), rtol=1e-12
    )
    np.testing.assert_allclose(f(np.log(p), p, "none"), np.zeros((4, 3)), atol=1e-16)


def test_an_impossible_event_that_is_not_aimed_at_costs_nothing() -> None:
    x, y = np.array([-math.inf, 0.0]), np.array([0.0, 1.0])
    assert tg.kl_div(x, y, "none").tolist() == [0, 0]
    assert gradient(lambda t: tg.kl_div(t, y, "sum"), x).tolist() == [0, -1]


def test_gaussian_kl_is_the_integral() -> None:
    mu, logvar = 0.7, -0.5
    x = np.linspace(-12, 12, 20_001)
    p = np.exp(-((x - mu) ** 2) / (2 * math.exp(logvar))) / math.sqrt(
        2 * math.pi * math.exp(logvar)
    )
    log_ratio = -((x - mu) ** 2) / (2 * math.exp(logvar)) - logvar / 2 + x * x / 2
    exact = np.trapezoid(p * log_ratio, x)
    np.testing.assert_allclose(tg.gaussian_kl(np.array(mu), np.array(logvar)), exact, rtol=1e-9)


def test_gaussian_kl_by_hand() -> None:
    mu, logvar = np.array([2.0, 0.0]), np.array([0.0, math.log(3)])
    np.testing.assert_allclose(tg.gaussian_kl(mu, logvar, "none"), [2, 1 - math.log(3) / 2])
    assert tg.gaussian_kl(mu, logvar) == tg.gaussian_kl(mu, logvar, "none").sum()
    by_mu, by_logvar = tg.grad(tg.gaussian_kl, (0, 1))(mu, logvar)
    assert by_mu.tolist() == [2, 0]
    np.testing.assert_allclose(by_logvar, [0, 1], atol=1e-15)
    assert tg.gaussian_kl(np.zeros(2), np.array([1e-9, -1e-9])) == pytest.approx(5e-19, rel=1e-6)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: tg.gaussian_nll_loss(x, x, x[0]), r"variances for means of shape \(2, 3\), got"),
        (lambda x: tg.gaussian_nll_loss(x, x, x[:, :2]), "gaussian_nll_loss"),
        (lambda x: tg.gaussian_nll_loss(x, x, x - 2), "expected variances, got a negative number"),
        (lambda x: tg.gaussian_nll_loss(x, x[0], x), "gaussian_nll_loss: predictions and targets"),
        (lambda x: tg.poisson_nll_loss(x, x[0]), "poisson_nll_loss: predictions and targets"),
        (lambda x: tg.kl_div(x, x, "batch"), "kl_div: expected reduction"),
        (lambda x: tg.gaussian_kl(x, x[0]), "gaussian_kl: predictions and targets"),
    ],
)
def test_refused(f: Any, message: str) -> None:
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3)), requires_grad=True)):
        with pytest.raises(tg.InputError, match=message):
            f(x)


@pytest.mark.parametrize(
    ("reduction", "message"),
    [("batchmean", "first axis, of examples"), ("batch_mean", "'batchmean', 'mean', 'sum' or 'no")],
)
def test_kl_div_says_what_a_reduction_needs(reduction: str, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        tg.kl_div(Tensor(1.0), Tensor(2.0), reduction)

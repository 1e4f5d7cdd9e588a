"""Initial weights have the variances that their papers ask for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.nn import init

SHAPE = (300, 200)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def variances(f: Any, shape: Any = SHAPE, **options: Any) -> float:
    return float(f(shape, rng=rng(), **options).var())


@pytest.mark.parametrize(
    ("shape", "expected"), [((5, 3), (3, 5)), ((5, 3, 2), (6, 10)), ((8, 2, 3, 3), (18, 72))]
)
def test_fans_count_the_kernel(shape: Any, expected: Any) -> None:
    assert init.fans(shape) == expected


def test_fans_need_two_axes() -> None:
    with pytest.raises(tg.InputError, match=r"expected a shape \(out, in\).*got \(3,\)"):
        init.xavier_uniform(3, rng=rng())


@pytest.mark.parametrize("f", [init.xavier_uniform, init.xavier_normal])
def test_glorot_has_variance_2_over_the_sum_of_fans(f: Any) -> None:
    assert variances(f) == pytest.approx(2 / 500, rel=0.03)
    assert variances(f, gain=3.0) == pytest.approx(9 * 2 / 500, rel=0.03)


@pytest.mark.parametrize("f", [init.kaiming_uniform, init.kaiming_normal])
def test_he_has_variance_gain_squared_over_a_fan(f: Any) -> None:
    assert variances(f) == pytest.approx(2 / 200, rel=0.03)
    assert variances(f, mode="fan_out") == pytest.approx(2 / 300, rel=0.03)
    assert variances(f, a=math.sqrt(5)) == pytest.approx(1 / 3 / 200, rel=0.03)
    assert variances(f, nonlinearity="tanh") == pytest.approx(25 / 9 / 200, rel=0.03)
    assert variances(f, shape=(60, 20, 5, 5)) == pytest.approx(2 / 500, rel=0.03)


def test_uniform_schemes_reach_their_limit_and_no_further() -> None:
    drawn = init.xavier_uniform(SHAPE, rng=rng())
    limit = math.sqrt(6 / 500)
    assert 0.999 * limit < np.abs(drawn).max() <= limit
    drawn = init.kaiming_uniform(SHAPE, rng=rng())
    limit = math.sqrt(6 / 200)
    assert 0.999 * limit < np.abs(drawn).max() <= limit


def test_normal_and_uniform_have_their_moments() -> None:
    drawn = init.normal(100_000, 2.0, 0.01, rng=rng())
    assert (drawn.mean(), drawn.std()) == pytest.approx((2.0, 0.01), rel=0.02)
    drawn = init.uniform(100_000, 1.0, 3.0, rng=rng())
    assert (drawn.mean(), drawn.std()) == pytest.approx((2.0, 2 / math.sqrt(12)), rel=0.02)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 1000))
def test_orthogonal_has_orthonormal_rows_or_columns(rows: int, columns: int, seed: int) -> None:
    q = init.orthogonal((rows, columns), 2.0, rng=rng(seed)) / 2
    product = q @ q.T if rows <= columns else q.T @ q
    assert np.allclose(product, np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_takes_a_kernel_as_rows() -> None:
    q = init.orthogonal((4, 2, 3, 3), rng=rng()).reshape(4, 18)
    assert np.allclose(q @ q.T, np.eye(4), atol=1e-12)


def test_orthogonal_prefers_no_sign() -> None:
    corners = [init.orthogonal((3, 3), rng=rng(seed))[0, 0] for seed in range(200)]
    assert abs(np.mean(np.sign(corners))) < 0.2


def test_gains_are_those_of_the_papers() -> None:
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 1.0) == 1
    assert init.calculate_gain("tanh") == 5 / 3
    with pytest.raises(tg.InputError, match=r"calculate_gain: expected one of linear.*got 'swish'"):
        init.calculate_gain("swish")


@pytest.mark.parametrize(
    "name", [name for name in dir(init) if name.endswith("_") and name[0] != "_"]
)
def test_in_place_versions_fill_a_parameter_with_the_same_numbers(name: str) -> None:
    function = getattr(init, name[:-1])
    more = (7.0,) if name == "constant_" else ()
    draws = {} if name in ("zeros_", "ones_", "constant_") else {"rng": rng()}
    parameter = nn.Parameter(np.full((3, 2), 9.0), dtype=np.float32)
    assert getattr(init, name)(parameter, *more, **draws) is parameter
    again = {key: rng() for key in draws}
    expected = function((3, 2), *more, **again, dtype=np.float32)
    assert parameter.dtype == np.float32
    assert np.array_equal(parameter.data, expected)


def test_arguments_have_the_names_of_pytorch() -> None:
    weight = nn.Linear(3, 2, rng=rng()).weight
    assert (init.constant_(weight, val=7.0).data == 7).all()
    drawn = init.uniform_(weight, a=5.0, b=6.0, rng=rng()).data
    assert ((drawn >= 5) & (drawn < 6)).all()


@pytest.mark.parametrize("f", [init.zeros, init.ones])
def test_what_draws_nothing_may_stand_where_something_is_drawn(f: Any) -> None:
    net = nn.MLP([3, 4, 2], init=f, rng=rng())
    assert (net[0].weight.data == f(1)).all()


@pytest.mark.parametrize("name", ["uniform", "normal", "xavier_uniform", "orthogonal"])
def test_what_draws_needs_a_generator(name: str) -> None:
    with pytest.raises(tg.DtypeError, match=r"rng to be a numpy\.random\.Generator"):
        getattr(init, name)((2, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.uniform(2, 1.0, 0.0, rng=rng()), "expected a <= b"),
        (lambda: init.normal(2, 0.0, -1.0, rng=rng()), "expected std >= 0"),
        (lambda: init.kaiming_normal((2, 2), mode="fan", rng=rng()), "expected mode 'fan_in'"),
    ],
)
def test_values_that_make_no_sense_are_refused(call: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        call()


def test_in_place_versions_want_a_parameter() -> None:
    with pytest.raises(tg.DtypeError, match=r"init\.zeros_: expected a Parameter, got ndarray"):
        init.zeros_(np.ones(2))


def test_a_size_may_be_an_integer_of_numpy() -> None:
    layer = nn.Linear(np.int64(3), np.int64(2), rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert layer.weight.shape == (2, 3) and layer.bias.shape == (2,)

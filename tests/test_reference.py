"""What is told about an op is what it does."""

import inspect
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import reference
from tinygrad_edu.domain import NONZERO, Domain
from tinygrad_edu.op import REGISTRY
from tinygrad_edu.reference import entry, find, public_name

WITH_GRADIENT = [op for op in REGISTRY.values() if op.rules or op.composed]


def notes(function: Any) -> str:
    return "; ".join(entry(REGISTRY[function]).notes)


@pytest.mark.parametrize("op", WITH_GRADIENT, ids=lambda op: op.name)
def test_every_op_can_be_told_about(op: Any) -> None:
    if op.function is np.i0:
        pytest.importorskip("scipy")
    one = entry(op)
    assert one.signature.startswith(f"{one.name}(")
    assert one.gradients or one.forward
    assert one.module
    assert one == entry(op)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (np.tanh, "np.tanh"),
        (np.abs, "np.absolute"),
        (np.linalg.inv, "np.linalg.inv"),
        (tg.relu, "tg.relu"),
        (np.lib.stride_tricks.sliding_window_view, "np.lib.stride_tricks.sliding_window_view"),
    ],
)
def test_functions_are_named_as_users_write_them(function: Any, name: str) -> None:
    assert public_name(function) == name


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (np.tanh, "np.tanh(x)"),
        (tg.softmax, "tg.softmax(x, axis=-1)"),
        (np.concatenate, "np.concatenate(arrays, axis=0, **options)"),
        (np.swapaxes, "np.swapaxes(a, axis1, axis2)"),
        (np.ptp, "np.ptp(a, axis=None, keepdims=False)"),
        (np.rot90, "np.rot90(m, k=1, axes=(0, 1))"),
        (tg.dropout, "tg.dropout(x, p=0.5, training=True, *, rng=None)"),
        (np.meshgrid, "np.meshgrid(*xi, copy=True, sparse=False, indexing='xy')"),
    ],
)
def test_signatures_are_those_of_a_call(function: Any, signature: str) -> None:
    assert entry(REGISTRY[function]).signature == signature


@pytest.mark.parametrize(
    ("function", "others"),
    [
        (np.add, ("x + y",)),
        (np.matmul, ("x @ y",)),
        (np.negative, ("-x",)),
        (np.absolute, ("abs(x)",)),
        (np.sum, ("x.sum()",)),
        (np.trace, ("a.trace()",)),
        (tg.getitem, ("x[index]",)),
        (np.linalg.trace, ()),
        (np.sin, ()),
    ],
)
def test_operators_and_methods_are_told(function: Any, others: tuple[str, ...]) -> None:
    assert entry(REGISTRY[function]).others == others


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (np.sin, ""),
        (np.sqrt, "x > 0; ∞ at x = 0"),
        (np.log1p, "x > -1; ∞ at x = -1"),
        (np.arcsin, "-1 < x < 1; ∞ at x = -1, 1"),
        (np.absolute, "0 at x = 0"),
        (np.floor, "0 at x = -2, -1, 0, 1, 2"),  # defined outside of its domain, too
        (np.hypot, "0 each at x = y = 0"),
        (np.arctan2, "NaN each at y = x = 0"),
        (np.maximum, "½ each at a tie"),
        (np.max, "½ each to two equal elements"),
        (np.std, "0 each to two equal elements"),
        (np.clip, "1 and 0 at x = low; 1 and 0 at x = high"),
        (np.heaviside, "0 at x = 0"),
        (tg.leaky_relu, "0.01 at x = 0"),
        (np.tan, ""),
        (np.matmul, ""),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_sub_gradients_are_what_the_engine_answers(function: Any, expected: str) -> None:
    assert notes(function) == expected


def test_sub_gradients_follow_the_rule() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g * np.where(x < 0, -1.0, 7.0), NONZERO))
    def f(x: Any) -> Any:
        return np.abs(x)

    try:
        assert notes(f) == "7 at x = 0"
    finally:
        tg.unregister(f)


def test_sources_come_from_the_docstrings() -> None:
    (source,) = entry(REGISTRY[np.linalg.inv]).sources
    assert "Giles" in source
    (source,) = entry(REGISTRY[tg.gelu]).sources
    assert "\n" not in source


def test_of_which_shapes_is_told_where_it_matters() -> None:
    assert entry(REGISTRY[np.tanh]).example == ""
    call = ((np.ones((2, 3)),), {"axis": 1})
    one = entry(REGISTRY[np.mean], call)
    assert one.example == "x (2, 3), axis=1"
    assert "g / 3" in dict(one.gradients)["x"] or "/ 3" in dict(one.gradients)["x"]


def test_labels_and_what_was_left_out_get_no_formula() -> None:
    call = ((np.ones((2, 3)), np.array([0, 2])), {})
    assert [name for name, _ in entry(REGISTRY[tg.cross_entropy], call).gradients] == ["logits"]
    call = ((np.ones((2, 3)), np.ones((3, 2)), None), {})
    assert [name for name, _ in entry(REGISTRY[tg.linear], call).gradients] == ["x", "W"]


@pytest.mark.parametrize(
    ("domain", "ends"),
    [(Domain(), (0, 4)), (NONZERO, (0, 4)), (Domain(low=2.0), (2, 8)), (Domain(-1, 1), (-1, 1))],
)
def test_usual_numbers_lie_inside(domain: Domain, ends: tuple[float, float]) -> None:
    assert ends[0] < reference.inside(domain) < ends[1]
    assert reference.inside(domain) not in domain.kinks


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("np.tanh", ["np.tanh"]),
        ("numpy.tanh", ["np.tanh"]),
        ("tanh", ["np.tanh"]),
        ("np.max(x, axis=0)", ["np.max"]),
        ("diagonal", ["np.diagonal", "np.linalg.diagonal"]),
        ("tinygrad_edu.relu", ["tg.relu"]),
        ("linalg.inv", ["np.linalg.inv"]),
        ("nothing", []),
    ],
)
def test_ops_are_found_by_name(name: str, found: list[str]) -> None:
    assert sorted(public_name(op.function) for op in find(name)) == found


def test_a_rule_that_reads_numbers_has_no_formula() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g if x.sum() > 0 else -g))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        assert entry(REGISTRY[f]).gradients == (("x", "..."),)
    finally:
        tg.unregister(f)


def test_an_op_that_no_guess_fits_is_told_about_all_the_same() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x, *, power: g * power * x ** (power - 1)))
    def raised(x: Any, *, power: float) -> Any:
        """Source: nobody."""
        return x**power

    try:
        one = entry(REGISTRY[raised])
        assert one.signature == "raised(x, power)"
        assert one.gradients == (("x", "..."),)
        assert one.sources == ("nobody.",)
        exact = entry(REGISTRY[raised], ((np.ones(2),), {"power": 3}))
        assert exact.gradients == (("x", "g * 3 * x ** 2"),)
    finally:
        tg.unregister(raised)
    assert inspect.isfunction(raised)

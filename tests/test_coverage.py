"""The figures of `tinygrad-edu ops`: what they count, and that they never fall."""

from dataclasses import replace

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import coverage
from tinygrad_edu.op import REGISTRY, register, unregister

# They may only rise. `tinygrad-edu ops` prints them.
COVERED, ESSENTIAL = 337, 162
NEWER = ["cumulative_sum", "cumulative_prod", "matvec"]  # than NumPy 2.0


def test_coverage_is_held() -> None:
    pytest.importorskip("scipy")  # without it its functions cannot be counted
    covered, essential = coverage.figures()
    lacking = sum(not hasattr(np, name) for name in NEWER)
    missing = [one.name for one in coverage.union() if one.essential and not one.functions]
    assert essential >= ESSENTIAL, f"an essential function has lost its gradient, among {missing}"
    assert covered >= COVERED - lacking, "a function has lost its gradient"
    assert (covered, essential) == (COVERED - lacking, ESSENTIAL), (
        "more functions have a gradient than this test holds: enter the new figures above"
    )


def test_the_union_is_what_other_engines_differentiate() -> None:
    names = coverage.union()
    assert len(names) == len({one.name for one in names}) == 385
    assert sum(one.essential for one in names) == 162
    assert set(coverage.REACHED_AS) <= {one.name for one in names}


def test_what_counts_has_a_gradient() -> None:
    for one in coverage.union():
        for path in one.functions:
            function = coverage.resolve(path)
            op = REGISTRY.get(function)
            assert (op and (op.rules or op.composed)) or path == "tg.checkpoint", path


def test_what_has_a_gradient_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert coverage.reached("einops_rearrange") == []
    monkeypatch.setattr(np, "einops_rearrange", lambda x: x, raising=False)
    function = np.einops_rearrange  # type: ignore[attr-defined]
    assert coverage.reached("einops_rearrange") == []  # NumPy has it, but it has no gradient
    register(function)
    assert coverage.reached("einops_rearrange") == []  # it is flat: that is no gradient
    unregister(function)
    register(function, composed=lambda x: x)
    try:
        assert coverage.reached("einops_rearrange") == ["np.einops_rearrange"]
    finally:
        unregister(function)


def test_a_name_for_several_functions_needs_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert coverage.reached("conv_nd") == ["tg.conv1d", "tg.conv2d", "tg.conv3d"]
    monkeypatch.setitem(REGISTRY, tg.conv3d, replace(REGISTRY[tg.conv3d], rules=(), composed=None))
    assert coverage.reached("conv_nd") == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("tanh", "np.tanh"),
        ("norm", "np.linalg.norm"),
        ("inv", "np.linalg.inv"),
        ("max", "np.max"),
        ("setitem", "tg.index_update"),
        ("relu", "tg.relu"),
        ("trace", "np.trace"),
        ("checkpoint", "tg.checkpoint"),
    ],
)
def test_names_lead_to_what_users_call(name: str, path: str) -> None:
    assert coverage.reached(name) == [path]


@pytest.mark.parametrize(
    ("path", "thing"),
    [
        ("np.tanh", np.tanh),
        ("np.linalg.inv", np.linalg.inv),
        ("tg.relu", tg.relu),
        ("np.nothing", None),
        ("np.linalg.nothing.more", None),
        ("os.path", None),
        ("scipy.special.nothing", None),
    ],
)
def test_paths_are_resolved(path: str, thing: object) -> None:
    assert coverage.resolve(path) is thing

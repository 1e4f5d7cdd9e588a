"""How many examples properties are tried on, and a seal on everything global."""

import os
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tinygrad_edu as tg
from tinygrad_edu.op import REGISTRY

# Every run draws the same examples, so that what fails on one machine fails on all of them. Nothing
# is timed: how fast a machine is has no bearing on whether a gradient is right.
for profile, examples in {"dev": 10, "default": 50, "ci": 200, "deep": 2000}.items():
    settings.register_profile(
        f"tinygrad_edu-{profile}",
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )

# The prefix keeps ours apart from Hypothesis' own "ci", which it loads by itself where CI is set:
# there, too, the quick "default" is what runs unless somebody asks for more.
settings.load_profile(f"tinygrad_edu-{os.environ.get('HYPOTHESIS_PROFILE', 'default')}")


def need(program: str, package: str) -> None:
    """Skip a test on a machine without a program; CI installs it, and there nothing is skipped."""
    if shutil.which(program) is None:
        message = f"needs {program}: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(autouse=True)
def seal() -> Iterator[None]:
    """Fail a test that leaves a trace in global state: the next one would see it.

    Ops are the exception: a test may register some, and they end with it.
    """
    errors, position, ops = np.geterr(), _position(), dict(REGISTRY)
    yield
    if ops != REGISTRY:
        REGISTRY.clear()
        REGISTRY.update(ops)
    errors_after = np.seterr(**errors)
    assert tg.is_grad_enabled(), "the test left recording switched off"
    assert errors_after == errors, f"the test changed np.seterr from {errors} to {errors_after}"
    assert _position() == position, (
        "the test drew from NumPy's global random state; use np.random.default_rng(seed) instead"
    )


def _position() -> tuple[int, int]:
    """Where NumPy's global random generator stands: its first word and its place in the block."""
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002  # read only
    return int(state["key"][0]), int(state["pos"])

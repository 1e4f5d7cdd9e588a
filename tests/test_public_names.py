"""What the package shows: names, texts, and what importing it costs."""

import inspect
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

import tinygrad_edu as tg


def test_all_is_the_public_namespace() -> None:
    shown = {
        name
        for name, thing in vars(tg).items()
        if not name.startswith("_")
        and not isinstance(thing, ModuleType)
        and getattr(thing, "__module__", "").startswith("tinygrad_edu")
    }
    for name in tg.__all__:
        getattr(tg, name)  # those that are loaded on demand too
    assert shown <= set(tg.__all__)
    assert set(tg.__all__) - shown <= {"nn", "optim", "data", *tg._ON_DEMAND}


def test_all_is_sorted_and_has_no_name_twice() -> None:
    assert tg.__all__ == sorted(set(tg.__all__))


@pytest.mark.parametrize("name", tg.__all__)
def test_every_name_exists_and_says_what_it_is(name: str) -> None:
    thing = getattr(tg, name)
    text = inspect.getdoc(thing)
    assert text
    assert text.strip().splitlines()[0].endswith((".", ":", ";"))


@pytest.mark.parametrize("name", [n for n in tg.__all__ if inspect.isclass(getattr(tg, n))])
def test_public_methods_say_what_they_do(name: str) -> None:
    thing = getattr(tg, name)
    for attribute, value in vars(thing).items():
        if attribute.startswith("_") or not (callable(value) or isinstance(value, property)):
            continue
        assert inspect.getdoc(value), f"{name}.{attribute}"


@pytest.mark.parametrize("name", [n for n in tg.__all__ if n.endswith("Error")])
def test_errors_are_one_family(name: str) -> None:
    assert issubclass(getattr(tg, name), tg.AutogradError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (tg.InputError, ValueError),
        (tg.DtypeError, TypeError),
        (tg.IndexingError, IndexError),
        (tg.UnsupportedError, TypeError),
        (tg.GraphError, RuntimeError),
        (tg.RuleError, RuntimeError),
        (tg.AnomalyError, FloatingPointError),
        (tg.GradientError, AssertionError),
    ],
)
def test_each_error_is_the_one_that_numpy_users_expect(error: Any, builtin: Any) -> None:
    assert issubclass(error, builtin)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'tinygrad_edu' has no attribute 'rleu'"):
        _ = tg.rleu


def test_the_version_is_three_numbers() -> None:
    assert all(part.isdigit() for part in tg.__version__.split(".")[:3])


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


EXTRAS = ["hypothesis", "scipy", "dask", "matplotlib", "rich", "graphviz", "viz", "pytest"]
EXTRAS += ["pooch", "safetensors"]


def test_importing_the_package_imports_no_extra() -> None:
    code = f"import sys, tinygrad_edu; print([m for m in {EXTRAS} if m in sys.modules])"
    assert run(code) == "[]"


def test_a_training_step_imports_no_extra() -> None:
    code = f"""
import sys
import numpy as np, tinygrad_edu as tg
x = tg.Tensor(np.ones((2, 3)), requires_grad=True)
tg.cross_entropy(tg.relu(x), np.array([0, 1])).backward()
tg.hessian(lambda x: np.sum(x ** 2))(np.ones(2))
print([m for m in {EXTRAS} if m in sys.modules])
"""
    assert run(code) == "[]"


def test_importing_the_package_draws_no_random_number_and_changes_no_setting() -> None:
    code = """
import numpy as np
before = np.random.get_state()[2], np.geterr()
import tinygrad_edu
print(before == (np.random.get_state()[2], np.geterr()))
"""
    assert run(code) == "True"


def test_names_can_be_listed() -> None:
    assert set(tg.__all__) - set(tg._ON_DEMAND) <= set(dir(tg))


def test_names_that_are_loaded_on_demand_are_listed_too() -> None:
    code = "import tinygrad_edu as tg; print(set(tg.__all__) <= set(dir(tg)))"
    assert run(code) == "True"


def test_a_star_import_gives_everything() -> None:
    assert run("from tinygrad_edu import *; print(Tensor.__name__, check_op.__name__)") == (
        "Tensor check_op"
    )


def test_function_of_numpy_is_pointed_at() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'tanh'; use np.tanh$"):
        tg.tanh  # noqa: B018

"""Each example runs as a student runs it, and reaches what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str) -> str:
    """What the example prints; a warning or an exception in it fails the test."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},  # installed or not
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def truth_table() -> re.Pattern[str]:
    return re.compile(r"^\s+[01]\s+[01]\s+([01])\s+([01]\.\d+)$", re.MULTILINE)


def test_one_expression_shows_that_engine_and_hand_agree() -> None:
    rows = re.findall(r"^df/d\w +(\S+) +(\S+)", run("01_one_expression.py"), re.MULTILINE)
    assert len(rows) == 2
    assert all(engine == hand for engine, hand in rows)


def test_one_neuron_learns_or_with_the_gradient_derived_by_hand(
    truth_table: re.Pattern[str],
) -> None:
    printed = run("02_one_neuron.py")
    apart = [float(figure) for figure in re.findall(r"engine - hand: (\S+)", printed)]
    assert len(apart) == 6
    assert max(apart) < 1e-15
    answers = truth_table.findall(printed)
    assert len(answers) == 4
    assert all(round(float(answer)) == int(target) for target, answer in answers)


def test_mlp_learns_xor_after_its_gradients_were_checked(truth_table: re.Pattern[str]) -> None:
    answers = truth_table.findall(run("03_mlp.py"))
    assert len(answers) == 4
    assert all(abs(float(answer) - int(target)) < 0.1 for target, answer in answers)

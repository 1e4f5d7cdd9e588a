"""`check_op` rejects rules broken on purpose: a few drawn here, all of them by `make kill-rate`."""

from __future__ import annotations

import kill_rate
import numpy as np
import pytest
from kill_rate import Mutant, equivalent, killed

from tinygrad_edu.op import REGISTRY

MUTANTS = kill_rate.mutants()


def test_wrong_rules_are_rejected() -> None:
    chosen = np.random.default_rng(0).choice(len(MUTANTS), 30, replace=False)
    alive = [MUTANTS[i] for i in chosen if not killed(MUTANTS[i])]
    survivors = [str(mutant) for mutant in alive if not equivalent(mutant)]
    assert len(survivors) <= 1, "\n".join(survivors)  # 99 % of all of them, says make kill-rate


def kinds_of(function: object) -> dict[str, list[Mutant]]:
    found: dict[str, list[Mutant]] = {}
    for mutant in MUTANTS:
        if mutant.op.function is function:
            found.setdefault(mutant.kind, []).append(mutant)
    return found


def test_a_rule_is_broken_in_what_it_returns_and_in_what_it_says() -> None:
    tanh = kinds_of(np.tanh)
    edits = [mutant.what for kind in tanh for mutant in tanh[kind] if mutant.what != "result"]
    assert "<lambda>: 1 - out * out -> 1" in edits
    assert "<lambda>: 1 - out * out -> -(out * out)" in edits
    assert "<lambda>: 1 - out * out -> 1 + out * out" in edits
    assert "<lambda>: safe_multiply(g, 1 - out * out) -> g" in edits
    assert {"sign", "factor 2", "1 % off", "shifted", "transposed", "stopped"} <= set(tanh)
    assert "one slice for the sum" in kinds_of(np.multiply)
    assert any("_per_radius" in m.what for m in kinds_of(np.arctan2)["dropped factor"])


def test_every_rule_with_source_has_mutants() -> None:
    broken = {(mutant.op.name, mutant.position) for mutant in MUTANTS if mutant.what != "result"}
    assert {("tanh", 0), ("divide", 1), ("var", 0), ("matmul", 0), ("concatenate", 0)} <= broken


def test_equivalent_mutant_is_recognised() -> None:
    op = REGISTRY[np.sin]
    same = Mutant(op, 0, "none", "", lambda g, out, x: g * np.cos(-x))
    other = Mutant(op, 0, "sign", "", lambda g, out, x: -g * np.cos(x))
    assert equivalent(same)
    assert not killed(same)
    assert not equivalent(other)
    assert killed(other)
    assert op.vjps == tuple(rule.vjp for rule in op.rules if rule), "the right rule is back"


def test_right_rules_raise_no_false_alarm() -> None:
    rng = np.random.default_rng(1)
    right = [op for op in REGISTRY.values() if any(kill_rate.ways(op)) or op.rules]
    right = [op for op in right if op.function not in kill_rate.INTERNAL]
    kill_rate._RIGHT[:] = [(op, 77, 3) for op in rng.choice(np.array(right, object), 20)]
    for number in range(20):
        assert kill_rate.false_alarms(number)[2] == ""


def test_report_counts_and_names_survivors(monkeypatch: pytest.MonkeyPatch) -> None:
    some = kinds_of(np.tanh)["sign"] + kinds_of(np.tanh)["factor 2"] + kinds_of(np.sin)["sign"]
    monkeypatch.setattr(kill_rate, "_MUTANTS", some)
    results = {0: "killed", 1: "survived", 2: "equivalent"}
    text = kill_rate.table(results, [], 1000, 2, 60)
    assert "| sign | 1 | 1 | 100.0 % | 1 |" in text
    assert "| all | 1 | 2 | 50.0 % | 1 |" in text
    assert "Broken: 3 of 60 mutants, evenly chosen." in text
    assert "- `numpy.tanh, 'x': factor 2: result`" in text
    assert "**false alarms: 0 of 1,000 cases**" in text

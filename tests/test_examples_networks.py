"""The examples on networks, and what they derive by hand; each at reduced size for one seed."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from examples import derivations_networks as derived
from examples import run_all
from tinygrad_edu import nn, optim
from tinygrad_edu.data import DataLoader, gate, parity

FOLDER = Path(run_all.__file__).parent
NAMES = (
    "04_back_propagation",
    "05_rosenblatt",
    "06_boolean_networks",
    "07_mlp_any_depth",
    "08_learning_rates",
    "09_digits",
    "10_activations_and_losses",
    "11_gradient_descent",
)
EXAMPLES = {name: run_all.load(FOLDER / f"{name}.py") for name in NAMES}
back, rosenblatt, boolean, mlp, rates, digits, activations, descent = EXAMPLES.values()
each = pytest.mark.parametrize("name", NAMES)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 8)
few = settings(max_examples=max(settings().max_examples // 5, 2))


def relative(one: Any, other: Any) -> float:
    """The largest difference, in terms of 1 + the largest number."""
    return float(np.max(np.abs(one - other)) / (1 + np.max(np.abs(other))))


# -- all of them -----------------------------------------------------------------------------------


@each
def test_example_reaches_its_quick_bound(name: str) -> None:
    result = run_all.measure(FOLDER / f"{name}.py", quick=True)
    assert result.reached == 1, result


@each
def test_example_tells_its_idea_in_less_than_120_lines(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    assert len(EXAMPLES[name].__doc__.splitlines()) > 5


@each
def test_example_refuses_a_figure_that_is_no_number(name: str) -> None:
    assert not EXAMPLES[name].reached(math.nan)
    assert not EXAMPLES[name].reached(math.nan, quick=True)


@each
def test_example_runs_as_a_script(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / f"{name}.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},  # installed or not
    )
    assert done.returncode == 0, done.stderr
    assert EXAMPLES[name].ASKED in done.stdout
    (picture,) = tmp_path.iterdir()
    assert done.stdout.endswith(f"{picture}\n")
    assert picture.stem == name
    assert picture.read_bytes().startswith((b"\x89PNG", b"<svg"))


# -- run_all ---------------------------------------------------------------------------------------

FAKE = """
ROWS, ASKED, SEEDS = (1, 2), "figure {sign} 2", 3

def run(seed, quick=False):
    if seed == {fails}:
        raise ValueError("no luck")
    return 1.0 + seed

def reached(figure, quick=False):
    return figure {sign} 2
"""


def fake(folder: Path, sign: str, fails: int = -1) -> run_all.Result:
    file = folder / "99_fake.py"
    file.write_text(FAKE.format(sign=sign, fails=fails))
    return run_all.measure(file)


@pytest.mark.parametrize(("sign", "worst", "reached"), [("<=", 3.0, 2), (">=", 1.0, 2)])
def test_worst_figure_is_the_one_farthest_from_what_is_asked(
    tmp_path: Path, sign: str, worst: float, reached: int
) -> None:
    result = fake(tmp_path, sign)
    assert (result.figures, result.worst, result.reached) == ((1.0, 2.0, 3.0), worst, reached)


def test_seed_that_fails_is_not_reached_and_the_others_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = fake(tmp_path, ">=", fails=1)
    assert math.isnan(result.worst)
    assert result.reached == 1
    assert result.figures[::2] == (1.0, 3.0)
    assert "no luck" in capsys.readouterr().err


def test_page_has_a_row_for_each_example(tmp_path: Path) -> None:
    page = run_all.markdown([fake(tmp_path, "<="), fake(tmp_path, ">=")])
    rows = re.findall(r"^\| 1, 2 \| 99_fake \| figure .= 2 \| 2 \| (\S+) \| (.+) \|", page, re.M)
    assert [worst for worst, _ in rows] == ["3", "1"]
    assert all(found.startswith("2 of 3 | ") for _, found in rows)


def test_scripts_without_a_figure_are_not_imported() -> None:
    names = [file.stem for file in run_all.files()]
    assert set(NAMES) <= set(names)
    assert not {"01_one_expression", "02_one_neuron", "03_mlp"} & set(names)
    assert [file.stem for file in run_all.files(["09_*"])] == ["09_digits"]


# -- rows 1, 2 and 5 -------------------------------------------------------------------------------


@given(seeds)
def test_neurons_and_hidden_layer_equal_engine_and_layers(seed: int) -> None:
    for x, weights, t, hand in back.cases(np.random.default_rng(seed)).values():
        assert back.apart(back.by_engine(x, weights, t), hand) <= 1e-12
        assert back.apart(back.by_layers(x, weights, t), hand) <= 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_neurons_and_hidden_layer_pass_the_search_for_a_wrong_gradient(seed: int) -> None:
    for x, weights, t, _ in back.cases(np.random.default_rng(seed)).values():

        def error(*weights: Any, x: Any = x, t: Any = t) -> Any:
            for W in weights:
                x = tg.sigmoid(x @ W)
            return 0.5 * np.sum((x - t) ** 2)

        def by_hand(*weights: Any, x: Any = x, t: Any = t) -> Any:
            if len(weights) == 2:
                return back.by_hand_with_hidden(x, *weights, t)
            return back.by_hand(x, *weights, t)

        tg.check_derivation(error, by_hand, *weights, examples=5)


# -- row 3 -----------------------------------------------------------------------------------------


def test_rule_claims_no_success_on_xor_and_its_loss_oscillates() -> None:
    for seed in range(10):
        converged, losses, _ = rosenblatt.learn(*gate("xor"), np.random.default_rng(seed))
        assert not converged
        assert len(losses) == 4 * rosenblatt.EPOCHS
        assert min(losses) >= 1
        late = np.diff(losses[-200:])
        assert (late > 0).any(), "it goes up again"
        assert (late < 0).any(), "and down"


def test_rule_that_ran_out_of_epochs_claims_no_success() -> None:
    converged, losses, _ = rosenblatt.learn(*gate("and"), np.random.default_rng(0), epochs=2)
    assert not converged
    assert len(losses) == 2 * 4


def test_run_counts_nothing_where_xor_was_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosenblatt, "learn", lambda *_: (True, [0], nn.Identity()))
    assert not rosenblatt.reached(rosenblatt.run(0))


# -- row 4 -----------------------------------------------------------------------------------------


def test_three_gates_are_xor() -> None:
    x, t = gate("xor")
    assert boolean.xor_of_gates(x).tolist() == t[:, 0].tolist()


def test_network_in_a_batch_learns_as_layers_do_alone() -> None:
    x, t = parity(3)
    _, together, _ = boolean.learn(x, np.tile(t, (3, 1, 1)), np.random.default_rng(0), 5, 50)
    rng = np.random.default_rng(0)  # to draw the first weights again
    shapes = (3, 3, 5), (3, 1, 5), (3, 5, 1), (3, 1, 1)
    first = [tg.Tensor(rng.normal(size=shape).astype(np.float32)) for shape in shapes]
    for number in range(3):
        net = boolean.layers(first, number)
        history = nn.fit(
            net,
            [(x, t)],
            nn.BCEWithLogitsLoss(),
            optim.Adam(net.parameters(), lr=0.1),
            50,
            metric=None,
            progress=False,
        )
        assert np.allclose(history.column("loss"), together[:, number], rtol=1e-3)


# -- row 6 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 16])
def test_fit_learns_several_outputs(batch: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (64, 2))
    t = np.hstack([x.sum(axis=1, keepdims=True), x[:, :1] * x[:, 1:]])
    net = mlp.Network([2, 12, 2], ["tanh", "identity"], rng)
    losses = net.fit(DataLoader((x, t), batch, shuffle=True, rng=rng), 2 * batch + 20, 0.1)
    assert len(losses) == 2 * batch + 20
    assert losses[-1] < losses[0] / 5
    assert net.predict(x).shape == (64, 2)
    assert np.mean((net.predict(x) - t) ** 2) < losses[0] / 5


def test_fit_reports_the_mean_over_examples_of_batches_that_differ_in_size() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    net = mlp.Network([2, 1], ["identity"], rng)
    (loss,) = net.fit(DataLoader((x, t), 3), 1, 0.0)
    assert loss == pytest.approx(np.mean((net.predict(x) - t) ** 2), rel=1e-12)


def test_glorot_limit_is_kept_and_reached() -> None:
    net = mlp.Network([200, 100], ["identity"], np.random.default_rng(0))
    largest = np.abs(net.parameters[0].data).max()
    assert 0.99 * math.sqrt(6 / 300) < largest <= math.sqrt(6 / 300)
    assert not net.parameters[1].data.any()


# -- row 7 -----------------------------------------------------------------------------------------


def test_log_has_epoch_loss_and_rate_of_every_run() -> None:
    log = rates.train(0, 30)
    assert log.shape == (30, 5, 3)
    assert (log[..., 0] == np.arange(30)[:, np.newaxis]).all()
    assert (log[..., 2] == rates.RATES).all()
    assert np.ptp(log[0, :, 1]) == 0, "all begin with the same weights"


@pytest.mark.parametrize("place", range(4))
def test_layers_give_the_same_losses(place: int) -> None:
    ours = rates.train(3, 50)[:, place, 1]
    assert np.allclose(rates.train_layers(3, rates.RATES[place], 50), ours, rtol=1e-9)


# -- row 8 -----------------------------------------------------------------------------------------


@given(sizes, sizes, sizes, seeds)
@few
def test_softmax_regression_equals_formula_and_layer(N: int, n: int, K: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(N, n)), rng.integers(K, size=N)
    W, b = tg.Tensor(rng.normal(size=(n, K)), requires_grad=True), tg.Tensor(np.zeros(K), True)
    digits.regression(x, t, W, b).backward()
    by_W, by_b = digits.regression_by_hand(x, t, W.data, b.data)
    assert relative(W.grad, by_W) <= 1e-12
    assert relative(b.grad, by_b) <= 1e-12
    layer = nn.Linear(n, K, rng=rng)
    layer.weight.data = W.data.T.copy()
    layer.bias.data = b.data.copy()
    nn.CrossEntropyLoss()(layer(x), t).backward()
    assert relative(layer.weight.grad.T, by_W) <= 1e-12


def test_network_begins_as_that_of_the_book() -> None:
    net = digits.network(784, np.random.default_rng(0))
    assert [p.shape for p in net.parameters()] == [(256, 784), (256,), (10, 256), (10,)]
    first, bias, *_ = [p.data for p in net.parameters()]
    assert first.std() == pytest.approx(0.01, rel=0.02)
    assert not bias.any()
    assert net(np.zeros((2, 28, 28), np.float32)).shape == (2, 10)


def test_images_of_another_size_can_be_learnt() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(size=(20, 28, 28)).astype(np.float32), np.arange(20) % 10
    history = digits.train(0, 30, 16, data=((images, labels), (images, labels)))
    assert len(history) == 30
    assert history[-1].loss < history[0].loss


# -- rows 9, 10 and 11 -----------------------------------------------------------------------------


@given(seeds)
def test_both_sides_of_every_equation_are_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = activations.two_layers(rng) + activations.output_layers(rng, 3)
    for one, other in (*pairs, *activations.output_layers(rng, 1e4)):
        assert one.shape == other.shape
        assert relative(one, other) <= 1e-12
    for one, other in activations.slopes(rng):
        assert relative(one, other) <= (1e-12 if one.dtype == np.float64 else 1e-6)


def test_two_layers_with_an_activation_are_not_one() -> None:
    rng = np.random.default_rng(0)
    net = nn.MLP([1, 3, 1], "relu", bias=False, rng=rng)
    plus, minus = net(np.ones((1, 1))).item(), net(-np.ones((1, 1))).item()
    assert abs(plus + minus) > 1e-3, "a linear map would be odd"


def test_slope_of_a_prelu_is_learnt() -> None:
    x = np.linspace(-1, 1, 20)
    unit = nn.PReLU()
    batches = [(x, np.where(x > 0, x, 0.1 * x))]
    sgd = optim.SGD(unit.parameters(), lr=1.0)
    nn.fit(unit, batches, nn.MSELoss(), sgd, 60, metric=None, progress=False)
    assert unit.weight.data[0] == pytest.approx(0.1, rel=1e-3)


def test_a_nan_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, function in ((activations, "two_layers"), (back, "apart")):
        nan: Any = [(np.array([np.nan]), np.zeros(1))] if module is activations else np.nan
        monkeypatch.setattr(module, function, lambda *_, nan=nan: nan)
        assert not module.reached(module.run(0, quick=True), quick=True)


# -- row 19 ----------------------------------------------------------------------------------------

# By hand, from (-5, -2): there the gradient of a²/10 + 2 b² is (-1, -8).
SECOND_POINTS = {
    "plain": (-4.6, 1.2),
    "momentum": (-4.9, -1.2),
    "Nesterov": (-4.82, -0.56),  # 0.1 times (1 + 0.8) g
    "RMSProp": (-5 + 0.2 / math.sqrt(0.1), -2 + 0.2 / math.sqrt(0.1)),  # v = 0.1 g²
    "Adam": (-4.6, -1.6),  # the first step is the rate, whatever g
    "AdamW": (-4.4, -1.52),  # times 1 - 0.4 · 0.1 before
    "schedule": (-4.6, 1.2),
    "clipping": (-5 + 0.4 / math.sqrt(65), -2 + 3.2 / math.sqrt(65)),
}
THIRD_POINTS = {
    "plain": (-4.232, -0.72),
    "momentum": (-4.722, -0.08),
    "Nesterov": (-4.58248, 0.3552),
}


@pytest.mark.parametrize("name", SECOND_POINTS)
@pytest.mark.parametrize("walk", [descent.by_hand, descent.by_optim])
def test_walks_begin_as_written_out(walk: Any, name: str) -> None:
    first, second, third = islice(walk(name, descent.START), 3)
    assert first.tolist() == [-5, -2]
    assert second == pytest.approx(SECOND_POINTS[name], rel=1e-7)  # eps is in it
    if name in THIRD_POINTS:
        assert third == pytest.approx(THIRD_POINTS[name], rel=1e-12)


def test_every_walk_descends() -> None:
    assert SECOND_POINTS.keys() == descent.OPTIMIZERS.keys()
    for name in descent.OPTIMIZERS:
        first, *_, last = descent.by_optim(name, descent.START)
        assert descent.surface(*last) < 0.02 * descent.surface(*first)


# -- the derivations -------------------------------------------------------------------------------


@given(sizes, sizes, seeds)
def test_output_layers_equal_the_engine(N: int, K: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, t = rng.normal(size=(N, K)), rng.normal(size=(N, K))
    yes, labels = rng.uniform(size=(N, K)), rng.integers(K, size=N)
    bce, logits_bce = tg.binary_cross_entropy, tg.binary_cross_entropy_with_logits
    for (value, gradient), loss in (
        (derived.linear_mse(z, t), lambda z: tg.mse_loss(z, t)),
        (derived.sigmoid_bce(z, yes), lambda z: bce(tg.sigmoid(z), yes)),
        (derived.sigmoid_bce_from_logits(z, yes), lambda z: logits_bce(z, yes)),
        (derived.softmax_ce(z, labels), lambda z: tg.nll_loss(np.log(tg.softmax(z, 1)), labels)),
        (derived.softmax_ce_from_logits(z, labels), lambda z: tg.cross_entropy(z, labels)),
    ):
        assert value == pytest.approx(float(loss(z)), rel=1e-12)
        assert relative(tg.grad(loss)(z), gradient) <= 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_from_logits_derivations_hold_at_extreme_logits(dtype: Any) -> None:
    z = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype)
    yes, labels = np.array([[1, 1, 0], [0, 0, 1]], dtype), np.array([1, 0])
    value, gradient = derived.sigmoid_bce_from_logits(z, yes)
    assert value == pytest.approx((2e4 + math.log(2)) / 6, rel=1e-6)
    assert relative(gradient * 6, [[0, -1, 0.5], [0, 1, 0]]) < 1e-6
    value, gradient = derived.softmax_ce_from_logits(z, labels)
    assert value == pytest.approx((2e4 + 2e4 + math.log(2)) / 2, rel=1e-6)
    assert relative(gradient * 2, [[1, -1, 0], [-1, 0.5, 0.5]]) < 1e-6


@given(sizes, sizes, sizes, sizes, seeds)
@few
def test_networks_equal_the_engine(N: int, n: int, J: int, K: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, W1, b1 = rng.normal(size=(N, n)), rng.normal(size=(n, J)), rng.normal(size=J)
    W2, b2, g = rng.normal(size=(J, K)), rng.normal(size=K), rng.normal(size=(N, K))
    labels, alpha = rng.integers(K, size=N), rng.uniform(size=1)

    def network(x: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        return tg.cross_entropy(tg.relu(x @ W1 + b1) @ W2 + b2, labels)

    def linear(x: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        return np.sum(g * ((x @ W1 + b1) @ W2 + b2))

    def regression(x: Any, W: Any, b: Any) -> Any:
        return tg.cross_entropy(x @ W + b, labels)

    def learnt_slope(x: Any, alpha: Any) -> Any:
        return np.sum(g * tg.prelu(x, alpha))

    layers = (x, W1, b1, W2, b2)
    for loss, gradients, inputs in (
        (network, derived.relu_network(*layers, labels)[1], layers),
        (linear, derived.two_linear_layers(g, *layers)[1], layers),
        (regression, derived.softmax_regression(x, W1 @ W2, b2, labels)[1], (x, W1 @ W2, b2)),
        (learnt_slope, derived.prelu(g, g, alpha)[1], (g, alpha)),
    ):
        engine = tg.grad(loss, tuple(range(len(inputs))))(*inputs)
        for one, other in zip(engine, gradients, strict=True):
            assert one.shape == other.shape
            assert relative(one, other) <= 1e-12


@pytest.mark.parametrize("name", derived.SLOPES)
def test_slopes_of_activations_equal_difference_quotients(name: str) -> None:
    f, slope = derived.SLOPES[name]
    x, h = np.linspace(-3, 3, 40), 1e-5  # none of these is within h of 0
    assert relative(slope(f(x)), (f(x + h) - f(x - h)) / (2 * h)) <= 1e-6


def test_the_derivations_run_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "derivations_networks.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("engine = derivation") == 7

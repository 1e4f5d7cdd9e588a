"""The training loop: what it learns and reports, how it ends, and that it leaves no trace."""

import io
import math
import re
import signal
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.data import DataLoader
from tinygrad_edu.nn.fit import accuracy, evaluate, fit
from tinygrad_edu.nn.history import Epoch, History
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.optim import cosine
from tinygrad_edu.optim.algorithms import SGD
from tinygrad_edu.optim.schedules import LRScheduler


class Line(Module):
    """x W + b, and a part that notes the mode that it was called in."""

    def __init__(self, n_in: int = 2, n_out: int = 2) -> None:
        super().__init__()
        self.W, self.b = Parameter(np.zeros((n_in, n_out))), Parameter(np.zeros(n_out))
        self.spy = Spy()

    def forward(self, x: Any) -> Any:
        return self.spy(x) @ self.W + self.b


class Spy(Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, x: Any) -> Any:
        self.seen.append((self.training, tg.is_grad_enabled()))
        return x


def separable(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).normal(size=(count, 2))
    x += 0.3 * np.sign(x @ [1.0, -2.0])[:, np.newaxis] * [1.0, -2.0]
    return x, (x @ [1.0, -2.0] > 0).astype(np.int64)


X, Y = separable()
quiet = partial(fit, progress=False)


def loader(batch_size: int = 8, **options: Any) -> DataLoader:
    return DataLoader((X, Y), batch_size, **options)


def train(model: Module | None = None, epochs: int = 3, **options: Any) -> History:
    model = Line() if model is None else model
    optimizer = SGD(model.parameters(), lr=0.5)
    return quiet(model, loader(), tg.cross_entropy, optimizer, epochs, **options)


# --- what it learns and reports -------------------------------------------------------------------


def test_a_linearly_separable_task_is_learnt():
    model = Line()
    history = train(model, 20, test=loader(40))
    assert history[-1].test_accuracy == 1
    assert history[-1].train_accuracy == 1
    assert history[-1].loss < 0.1 < history[0].loss
    assert accuracy(X @ model.W.data + model.b.data, Y) == 1


def by_hand(epochs: int, clip: float = math.inf) -> tuple[list[list[float]], np.ndarray]:
    """The same training in NumPy alone: softmax regression, batches of 16, rate 0.5."""
    W, b, rows = np.zeros((2, 2)), np.zeros(2), []

    def loss_and_hits(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any, np.ndarray]:
        z = x @ W + b
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(len(y)), y]).sum(), (z.argmax(axis=1) == y).sum(), p

    for _ in range(epochs):
        loss = hits = 0.0
        for start in range(0, len(X), 16):
            x, y = X[start : start + 16], Y[start : start + 16]
            losses, right, p = loss_and_hits(x, y)
            loss, hits = loss + losses, hits + right
            dz = (p - np.eye(2)[y]) / len(x)
            dW, db = x.T @ dz, dz.sum(axis=0)
            scale = min(1, clip / np.sqrt((dW**2).sum() + (db**2).sum()))
            W, b = W - 0.5 * scale * dW, b - 0.5 * scale * db
        test = loss_and_hits(X[:13], Y[:13])
        rows.append([loss / 40, hits / 40, test[0] / 13, test[1] / 13])
    return rows, W


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_history_is_that_of_the_loop_by_hand(clip_norm):
    # 40 = 16 + 16 + 8: a mean over batches would count the last one double. The test: 5 + 5 + 3.
    model, test = Line(), DataLoader((X[:13], Y[:13]), 5)
    optimizer = SGD(model.parameters(), lr=0.5)
    history = quiet(
        model, loader(16), tg.cross_entropy, optimizer, 4, test=test, clip_norm=clip_norm
    )
    rows, W = by_hand(4, clip_norm or math.inf)
    assert np.allclose([epoch[:4] for epoch in history], rows, rtol=1e-12)
    assert np.allclose(model.W.data, W, rtol=1e-12)
    assert history.column("rate").tolist() == [0.5] * 4
    assert (history.column("seconds") > 0).all()
    assert not history.interrupted
    assert {type(number) for epoch in history for number in epoch} == {float}


def test_targets_may_be_lists():
    model = Line()
    data = [([[0.0, 1.0]], [1])]
    (epoch,) = quiet(
        model,
        data,
        lambda outputs, targets: tg.cross_entropy(outputs, np.array(targets)),
        SGD(model.parameters(), lr=0.5),
        1,
    )
    assert math.isclose(epoch.loss, math.log(2))


def test_what_is_not_measured_is_nan():
    history = train(metric=None)
    assert np.isnan(history.column("train_accuracy")).all()
    assert np.isnan(history.column("test_loss")).all()
    assert np.isnan(history.column("test_accuracy")).all()


def test_an_optimizer_that_tells_no_rate_will_do():
    class Plain:
        def __init__(self, parameters: Any) -> None:
            self.parameters = [*parameters]

        def zero_grad(self) -> None:
            for p in self.parameters:
                p.grad = None

        def step(self) -> None:
            for p in self.parameters:
                p.data -= 0.5 * p.grad

    model = Line()
    history = quiet(model, loader(), tg.cross_entropy, Plain(model.parameters()), 2)
    assert [epoch[:2] for epoch in history] == [epoch[:2] for epoch in train(epochs=2)]
    assert np.isnan(history.column("rate")).all()


def test_a_model_need_not_be_a_module():
    class Scale:
        def __init__(self) -> None:
            self.w = tg.Tensor([0.0], requires_grad=True)

        def __call__(self, x: Any) -> Any:
            return x * self.w

        def parameters(self) -> list[tg.Tensor]:
            return [self.w]

    model, x = Scale(), np.array([1.0, 2.0])
    optimizer = SGD(model.parameters(), lr=0.1)
    quiet(model, [(x, 3 * x)], tg.mse_loss, optimizer, 100, metric=None)
    assert np.allclose(model.w.data, 3)


def test_all_but_the_last_of_a_batch_are_inputs():
    class Sum(Line):
        def forward(self, x: Any, y: Any) -> Any:
            return super().forward(x + y)

    model = Sum()
    data = DataLoader((X / 2, X / 2, Y), 8)
    history = quiet(model, data, tg.cross_entropy, SGD(model.parameters(), lr=0.5), 3)
    assert np.allclose(history.column("loss"), train().column("loss"))


def test_a_metric_of_ones_own_gets_arrays():
    def mean_output(outputs: Any, targets: Any) -> float:
        assert type(outputs) is type(targets) is np.ndarray
        return float(outputs.mean())

    assert train(metric=mean_output, epochs=1)[0].train_accuracy != 0


@pytest.mark.parametrize(("each", "rates"), [("epoch", [8, 4, 2]), ("batch", [8, 0.25, 2**-7])])
def test_the_schedule_steps_after_each_epoch_or_batch(each, rates):
    model = Line()
    optimizer = SGD(model.parameters(), lr=8)
    schedule = LRScheduler(optimizer, lambda t, base: base / 2**t)
    options = {"schedule": schedule, "schedule_each": each}
    history = quiet(model, loader(), tg.cross_entropy, optimizer, 3, **options)
    assert history.column("rate").tolist() == rates  # 5 batches: divided by 32


def test_a_history_can_be_continued():
    model = Line()
    history = train(model, 2)
    assert train(model, 3, history=history) is history
    assert np.allclose(history.column("loss"), train(epochs=5).column("loss"))


def test_evaluate_measures_without_learning():
    model = Line()
    train(model)
    before = model.state_dict()
    loss, right = evaluate(model, loader(7), tg.cross_entropy)
    z = X @ model.W.data + model.b.data
    assert math.isclose(loss, np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(40), Y]))
    assert math.isclose(right, np.mean(z.argmax(axis=1) == Y))
    assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items())
    assert math.isnan(evaluate(model, loader(), tg.cross_entropy, None)[1])


def test_accuracy_is_the_share_of_largest_scores():
    scores = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    assert accuracy(scores, np.array([1, 1, 1])) == 2 / 3
    assert accuracy(scores.reshape(3, 1, 2), np.array([[1], [0], [1]])) == 1


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        (np.zeros((3, 2)), np.zeros(2, int), r"got shapes \(3, 2\) and \(2,\) of int64"),
        (np.zeros((3, 1)), np.zeros((3, 1)), r"\(3, 1\) of float64; .*z > 0.*metric=None"),
        (np.zeros((3, 1)), np.zeros(3, int), r"2 classes or more .* \(3, 1\) and \(3,\) of int64"),
        (np.zeros(3), np.zeros(3), r"got shapes \(3,\) and \(3,\)"),
        (np.zeros((3, 2)), np.zeros(3), r"integer labels.*float64"),
        (np.float64(0), np.int64(0), r"got shapes \(\) and \(\)"),
    ],
)
def test_accuracy_of_what_is_no_classification_is_refused(outputs, labels, message):
    with pytest.raises(tg.InputError, match=message):
        accuracy(outputs, labels)


def test_a_metric_that_does_not_fit_is_told_before_the_first_step():
    model = Line(2, 1)
    data = DataLoader((X, X[:, :1]), 8)
    with pytest.raises(tg.InputError, match="metric=None"):
        quiet(model, data, tg.mse_loss, SGD(model.parameters(), lr=0.1), 1)
    assert not model.W.data.any()


# --- modes ----------------------------------------------------------------------------------------


def test_learning_is_in_training_mode_and_the_test_in_evaluation_mode():
    model = Line()
    train(model, 1, test=loader(20))
    assert model.spy.seen == [(True, True)] * 5 + [(False, False)] * 2


@pytest.mark.parametrize("end", ["", "error", "interrupt"])
def test_every_part_gets_its_own_mode_back(end):
    def on_epoch(history: History) -> None:
        assert model.training
        if end:
            raise {"error": ZeroDivisionError, "interrupt": KeyboardInterrupt}[end]

    model = Line().eval()
    model.spy.training = True
    if end == "error":
        with pytest.raises(ZeroDivisionError):
            train(model, test=loader(), on_epoch=on_epoch)
    else:
        train(model, test=loader(), on_epoch=on_epoch)
    assert not model.training
    assert model.spy.training


def test_no_random_number_is_drawn_but_by_the_loader():
    generator, twin = np.random.default_rng(0), np.random.default_rng(0)
    model = Line()
    data = loader(shuffle=True, rng=generator)
    quiet(model, data, tg.cross_entropy, SGD(model.parameters(), lr=0.5), 3, test=loader())
    for _ in range(3):
        twin.permutation(40)
    assert generator.bit_generator.state == twin.bit_generator.state


# --- how it ends ----------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_learnt():
    def on_epoch(history: History) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt

    model, twin = Line(), Line()
    history = train(model, 10, on_epoch=on_epoch)
    assert history.interrupted
    assert [epoch[:2] for epoch in history] == [epoch[:2] for epoch in train(twin, 2)]
    assert np.array_equal(model.W.data, twin.W.data)


def test_ctrl_c_within_an_epoch_keeps_the_steps_and_drops_its_numbers():
    class Impatient:
        def __init__(self) -> None:
            self.epochs = 0

        def __iter__(self) -> Any:
            self.epochs += 1
            for i, batch in enumerate(loader()):
                if self.epochs == 2 and i == 3:
                    raise KeyboardInterrupt
                yield batch

    model = Line()
    data: Any = Impatient()
    history = quiet(model, data, tg.cross_entropy, SGD(model.parameters(), lr=0.5), 9)
    assert history.interrupted
    assert len(history) == 1
    once = Line()
    train(once, 1)
    assert not np.array_equal(model.W.data, once.W.data)
    assert np.isfinite(model.W.data).all()


@pytest.fixture
def ctrl_c() -> Any:
    """Python's own answer to Ctrl-C, whatever runs the tests has put in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.raise_signal, signal.SIGINT)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_ctrl_c_within_a_step_ends_training_after_it(ctrl_c):
    class Halfway(SGD):
        steps = 0

        def update(self, p: Any, g: Any, state: Any, options: Any) -> None:
            self.steps += 1
            if self.steps == 3:  # of W in the second batch; b comes after it
                ctrl_c()
            super().update(p, g, state, options)

    model, twin = Line(), Line()
    optimizer = Halfway(model.parameters(), lr=0.5)
    assert quiet(model, loader(), tg.cross_entropy, optimizer, 3).interrupted
    assert optimizer.steps == 4
    quiet(twin, [*loader()][:2], tg.cross_entropy, SGD(twin.parameters(), lr=0.5), 1)
    assert np.array_equal(model.W.data, twin.W.data)
    assert np.array_equal(model.b.data, twin.b.data)


def test_an_error_within_a_step_gives_ctrl_c_back(ctrl_c):
    class Broken(SGD):
        def step(self) -> None:
            raise ZeroDivisionError

    model = Line()
    with pytest.raises(ZeroDivisionError):
        quiet(model, loader(), tg.cross_entropy, Broken(model.parameters()), 1)


def test_who_handles_ctrl_c_in_another_way_goes_on_doing_so(ctrl_c):
    seen: list[int] = []

    class Pressed(SGD):
        def step(self) -> None:
            ctrl_c()
            super().step()

    signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    model = Line()
    history = quiet(model, loader(20), tg.cross_entropy, Pressed(model.parameters()), 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert len(seen) == 2
    assert not history.interrupted


def test_training_in_a_thread_leaves_ctrl_c_alone(ctrl_c):
    from threading import Thread

    done: list[History] = []
    thread = Thread(target=lambda: done.append(train(epochs=1)))
    thread.start()
    thread.join()
    assert len(done) == 1


def test_an_interrupted_history_can_be_continued():
    def on_epoch(history: History) -> None:
        raise KeyboardInterrupt

    history = train(on_epoch=on_epoch)
    train(history=history)
    assert not history.interrupted
    assert len(history) == 4


def test_training_stops_when_asked_to():
    assert len(train(epochs=50, stop=lambda history: history[-1].loss < 0.2)) < 20
    assert train(epochs=50, stop=lambda history: history[-1].loss < 0.2)[-2].loss >= 0.2


def losses_of(numbers: list[float]) -> Any:
    """A loss that is what the list says, whatever the model answers."""
    queue = iter(numbers)
    return lambda outputs, targets: np.sum(outputs) * 0.0 + next(queue)


@pytest.mark.parametrize(
    ("patience", "numbers", "epochs"),
    [
        (1, [3, 2, 2, 1], 3),  # to equal the best is no improvement
        (2, [3, 2, 2.5, 1, 1.5, 1.2, 0], 6),
        (9, [3, 2, 1], 3),
    ],
)
def test_patience_ends_when_the_loss_improves_no_more(patience, numbers, epochs):
    model = Line()
    data, optimizer = loader(40), SGD(model.parameters(), lr=0.1)
    history = quiet(model, data, losses_of(numbers), optimizer, len(numbers), stop=patience)
    assert history.column("loss").tolist() == numbers[:epochs]


def test_patience_looks_at_the_test_loss_where_there_is_one():
    model = Line()
    data, optimizer = loader(40), SGD(model.parameters(), lr=0.1)
    numbers = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 0.0]  # train and test, in turns
    history = quiet(model, data, losses_of(numbers), optimizer, 4, test=data, stop=2)
    assert history.column("test_loss").tolist() == [1, 2, 3]


def test_a_loss_that_is_not_finite_names_epoch_batch_and_op():
    x = X.copy()

    def spoil(history: History) -> None:
        x[17] = np.nan  # the third batch of 8

    model, history = Line(), History()
    data = DataLoader((x, Y), 8)
    optimizer = SGD(model.parameters(), lr=0.5)
    with pytest.raises(
        tg.AnomalyError, match=r"the loss is nan in epoch 2, batch 3: matmul: .* non-finite value"
    ) as error:
        quiet(model, data, tg.cross_entropy, optimizer, 5, on_epoch=spoil, history=history)
    assert isinstance(error.value.__cause__, tg.AnomalyError)
    assert len(history) == 1
    assert np.isfinite(model.W.data).all()  # the step was not made
    assert "had already made" not in str(error.value)
    assert "; the inputs of the batch are not finite themselves. Common" in str(error.value)


def test_the_first_op_of_several_is_named():
    class Log(Line):
        def forward(self, x: Any) -> Any:
            with np.errstate(all="ignore"):
                return np.exp(np.log(super().forward(x) * 0.0)) * 2 - np.inf

    model = Log()
    optimizer = SGD(model.parameters(), lr=0.5)
    with pytest.raises(tg.AnomalyError, match=r"epoch 1, batch 1: log: made a non-finite value"):
        quiet(model, DataLoader((X, X), 8), tg.mse_loss, optimizer, 1, metric=None)


def test_a_step_that_broke_the_parameters_is_named():
    class Wild(SGD):
        def step(self) -> None:
            self.param_groups[0]["params"][0].data = np.full((2, 2), np.inf)

    model = Line()
    with (
        np.errstate(all="ignore"),
        pytest.raises(tg.AnomalyError, match=r"batch 2: .*; the step before .* parameter W non-f"),
    ):
        quiet(model, loader(), tg.cross_entropy, Wild(model.parameters(), lr=1), 1)


def test_parameters_that_the_last_step_broke_are_not_passed_over():
    class Wild(SGD):
        def step(self) -> None:
            self.param_groups[0]["params"][1].data = np.array([0.0, np.nan])

    model = Line()
    with pytest.raises(tg.AnomalyError, match=r"a step in epoch 1 made parameter b non-finite"):
        quiet(model, loader(40), tg.cross_entropy, Wild(model.parameters(), lr=1), 3)


def test_a_test_loss_that_is_not_finite_is_named():
    spoilt = X.copy()
    spoilt[30] = np.nan
    with pytest.raises(tg.AnomalyError, match=r"the loss is nan in test batch 4: matmul"):
        train(test=DataLoader((spoilt, Y), 8))


def test_a_loss_that_is_not_finite_only_once_is_said_to_be_random():
    model = Line()
    loss = losses_of([1.0, math.inf, 1.0])
    with pytest.raises(tg.AnomalyError, match=r"is inf in epoch 1, batch 2: .*is there randomness"):
        quiet(model, loader(), loss, SGD(model.parameters(), lr=0.1), 1)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, tg.InputError, r"fit: epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, tg.DtypeError, r"fit: epochs must be a whole number, got 1.5"),
        ({"stop": 0}, tg.InputError, r"at least 1 epoch of patience, got 0"),
        ({"stop": True}, tg.DtypeError, r"a function or a number of epochs, got True"),
        ({"stop": 1.5}, tg.DtypeError, r"got 1.5"),
        ({"clip_norm": 0}, tg.InputError, r"clip_norm must be above 0, got 0"),
        ({"clip_norm": math.nan}, tg.InputError, r"clip_norm must be above 0, got nan"),
        ({"schedule_each": "step"}, tg.InputError, r"must be 'epoch' or 'batch', got 'step'"),
        ({"data": None}, tg.DtypeError, r"data must be a DataLoader; got None"),
        (
            {"loss": tg.nn.CrossEntropyLoss},
            tg.DtypeError,
            r"loss must be .* nn.CrossEntropyLoss\(\)",
        ),
        ({"loss": "mse"}, tg.DtypeError, r"loss must be a function .*; got 'mse'"),
        ({"optimizer": SGD}, tg.DtypeError, r"optimizer must be one, such as"),
        ({"optimizer": 0.1}, tg.DtypeError, r"optimizer must be one, .*; got 0.1"),
        ({"optimizer": SGD(Line().parameters())}, tg.InputError, r"none of the model's parameters"),
        ({"schedule": cosine(3)}, tg.DtypeError, r"schedule must have .* optim.LRScheduler\(opt"),
        ({"history": []}, tg.DtypeError, r"history must be a History; .*nn.History\(nn.Epoch"),
        ({"model": lambda x: x}, tg.DtypeError, r"model must be a Module; got"),
        ({"data": (X, Y)}, tg.InputError, r"got ndarray of shape \(40, 2\); wrap arrays in a Da"),
        ({"data": [(X,)]}, tg.InputError, r"expected batches \(inputs, ..., targets\), got tuple"),
        ({"data": [(X[:0], Y[:0])]}, tg.InputError, r"one example, got shape \(0,\) in batch 1"),
        ({"data": [(X, Y[0])]}, tg.InputError, r"got shape \(\) in batch 1"),
        ({"data": []}, tg.InputError, r"expected at least one batch, got none"),
        ({"data": iter([(X, Y)])}, tg.InputError, r"list_iterator, .*only once, not in 2 epochs"),
        ({"test": iter([(X, Y)])}, tg.InputError, r"test is a list_iterator, .*not in 2 epochs"),
        ({"test": 3}, tg.DtypeError, r"test must be a DataLoader; got 3"),
        ({"metric": lambda z, y: z}, tg.DtypeError, r"must give one number, got ndarray of shape"),
        ({"metric": lambda z, y: None}, tg.DtypeError, r"must give one number, got NoneType"),
        ({"loss": lambda z, y: tg.cross_entropy(z, y, "none")}, tg.InputError, r"shape \(8,\).*me"),
        ({"loss": lambda z, y: 1.0}, tg.InputError, r"a Tensor of one number, got float"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_first_step(options, error, message):
    model = Line()
    optimizer = SGD(model.parameters(), lr=0.5)
    given: dict[str, Any] = {"model": model, "data": loader(), "optimizer": optimizer}
    with pytest.raises(error, match=message):
        quiet(**{**given, "loss": tg.cross_entropy, "epochs": 2, **options})
    assert not model.W.data.any()


def test_a_generator_serves_for_one_epoch():
    model = Line()
    batches = iter(loader())
    optimizer = SGD(model.parameters(), lr=0.5)
    assert len(quiet(model, batches, tg.cross_entropy, optimizer, 1)) == 1


# --- what it shows --------------------------------------------------------------------------------


def test_lines_where_there_is_no_terminal(capsys):
    train(epochs=2, progress=True, test=loader())
    first, second = capsys.readouterr().out.splitlines()
    e = train(epochs=2, test=loader())[1]
    assert first.startswith("epoch 1/2  loss 0.")
    assert second == (
        f"epoch 2/2  loss {e.loss:.4f}  accuracy {e.train_accuracy:.4f}  "
        f"test loss {e.test_loss:.4f}  test accuracy {e.test_accuracy:.4f}"
    )


def test_lines_without_rich(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    train(epochs=1, progress=True, metric=None)
    assert capsys.readouterr().out == f"epoch 1/1  loss {train(epochs=1)[0].loss:.4f}\n"


def test_of_many_epochs_about_ten_are_shown(capsys):
    train(epochs=100, progress=True)
    numbers = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert numbers == ["1/100", *[f"{n}/100" for n in range(10, 101, 10)]]


def test_the_last_epoch_is_shown_when_training_ends_early(capsys):
    train(epochs=100, progress=True, stop=lambda history: len(history) == 7)
    assert [line[:12] for line in capsys.readouterr().out.splitlines()] == [
        "epoch   1/10",
        "epoch   7/10",
    ]


def interrupt(history: History) -> None:
    raise KeyboardInterrupt


def test_an_interruption_is_shown(capsys):
    train(epochs=9, progress=True, on_epoch=interrupt)
    assert capsys.readouterr().out.endswith("interrupted after epoch 1; what was learnt is kept\n")


def test_nothing_is_shown_where_it_is_not_wanted(capsys):
    train(epochs=3, on_epoch=interrupt)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    import rich.console

    screen = io.StringIO()
    console = partial(rich.console.Console, file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(rich.console, "Console", console)
    monkeypatch.setenv("TERM", "xterm")
    return screen


def test_a_bar_on_a_terminal(terminal, capsys):
    model, data = Line(), iter([*loader()])  # of a length that is not known
    history = train(model, epochs=3, progress=True, test=loader())
    last = terminal.getvalue().rpartition("epoch")[2]
    assert "3/3" in last
    assert "━" in last
    assert f"loss {history[-1].loss:.4f}" in last
    assert f"test acc {history[-1].test_accuracy:.4f}" in last
    fit(model, data, tg.cross_entropy, SGD(model.parameters(), lr=0.5), 1)
    assert "1/1" in terminal.getvalue().rpartition("epoch")[2]
    assert capsys.readouterr().out == ""


def test_all_numbers_fit_on_a_terminal_of_80_columns(terminal, monkeypatch):
    import rich.console

    narrow = partial(rich.console.Console, width=80)  # on top of that of the fixture
    monkeypatch.setattr(rich.console, "Console", narrow)
    train(epochs=100, progress=True, test=loader(), stop=lambda history: len(history) == 100)
    last = terminal.getvalue().rpartition("epoch")[2]
    assert re.search(
        r"100/100.*━.* loss 0.\d{4}  acc 1.\d{4}  test loss 0.\d{4}  test acc 1.0", last
    )


def test_a_bar_moves_and_tells_the_loss_within_an_epoch():
    from tinygrad_edu.nn.history import _Bar

    class Bar:
        def __init__(self) -> None:
            self.completed, self.description = 0.0, ""

        def add_task(self, *_: Any, **__: Any) -> int:
            return 0

        def update(self, task: int, **shown: Any) -> None:
            self.completed += shown.get("advance", 0)
            self.description = shown["description"]

    bar = Bar()
    shown = _Bar(bar, 3)
    for _ in range(2):
        shown.batch(loader(), 0.5, math.nan)
    assert math.isclose(bar.completed, 2 / 5)
    assert bar.description == "loss 0.5000"
    shown.epoch(History([Epoch(0.4, 0.9, 0.6, 0.8, 0.1, 1.0)]))
    shown.batch(loader(), 0.3, 0.95)  # the test before is still shown
    assert bar.description == "loss 0.3000  acc 0.9500  test loss 0.6000  test acc 0.8000"


def test_the_bar_is_told_of_every_batch(terminal, monkeypatch):
    from tinygrad_edu.nn.history import _Bar

    told: list[Any] = []
    monkeypatch.setattr(_Bar, "batch", lambda bar, data, *means: told.append(means))
    history = train(epochs=2, progress=True)
    assert len(told) == 10
    assert told[4] == history[0][:2]
    assert told[9] == history[1][:2]


def test_the_bar_shows_an_interruption(terminal):
    train(epochs=9, progress=True, on_epoch=interrupt)
    assert "interrupted after epoch 1; what was learnt is kept" in terminal.getvalue()


# --- the history ----------------------------------------------------------------------------------


def history_of(*losses: float, right: float = 0.5) -> History:
    return History(Epoch(loss, right, math.nan, math.nan, 0.1, 1.0) for loss in losses)


def test_a_history_is_printed_as_a_line_for_each_epoch():
    assert repr(history_of(2.0, 1.0)) == (
        "epoch 1/2  loss 2.0000  accuracy 0.5000\nepoch 2/2  loss 1.0000  accuracy 0.5000"
    )
    assert repr(History()) == "no epoch yet"
    lines = str(history_of(*range(40))).splitlines()
    assert [line[:8] for line in lines] == [
        *(f"epoch {n:>2}" for n in range(1, 7)), "...", *(f"epoch {n}" for n in range(36, 41)),
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_curves_are_drawn(tmp_path, ending):
    path = tmp_path / f"curves.{ending}"
    train(test=loader()).plot(path, title="digits")
    assert path.read_bytes().startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert [*tmp_path.iterdir()] == [path]


def drawn(history: History, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of the picture."""
    from matplotlib.figure import Figure

    kept: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: (kept.append(figure), path.touch()))
    history.plot("unused.png")
    return kept[0].axes


def test_the_curves_are_the_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    history = train(test=loader(40))
    loss, right = drawn(history, monkeypatch)
    assert (loss.get_ylabel(), right.get_ylabel()) == ("loss", "accuracy")
    names = ["loss", "test_loss", "train_accuracy", "test_accuracy"]
    lines = [*loss.lines, *right.lines]
    assert [line.get_label() for line in lines] == ["train", "test"] * 2
    for line, name in zip(lines, names, strict=True):
        assert line.get_xdata().tolist() == [1, 2, 3]
        assert line.get_ydata().tolist() == history.column(name).tolist()


@pytest.mark.parametrize("epochs", [1, 2, 3, 30])
def test_epochs_are_marked_by_whole_numbers(epochs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (loss, _) = drawn(history_of(*range(epochs)), monkeypatch)
    left, right = loss.get_xlim()
    marks = [mark for mark in loss.get_xticks() if left <= mark <= right]
    assert marks
    assert all(mark == int(mark) and 1 <= mark <= epochs for mark in marks)


def test_what_was_not_measured_is_not_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (loss,) = drawn(history_of(2.0, 1.0, right=math.nan), monkeypatch)
    assert [line.get_label() for line in loss.lines] == ["train"]


def test_a_picture_that_fails_leaves_the_one_before(tmp_path):
    path = tmp_path / "curves.nonsense"
    path.write_text("before")
    with pytest.raises(ValueError, match="nonsense"):
        history_of(1.0).plot(path)
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_curves_of_no_epoch_are_refused(tmp_path):
    with pytest.raises(tg.InputError, match="at least one epoch"):
        History().plot(tmp_path / "x.png")


def test_curves_without_matplotlib_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-edu\[plot\]'"):
        history_of(1.0).plot(tmp_path / "x.png")


def test_a_column_that_does_not_exist_is_refused():
    with pytest.raises(tg.InputError, match=r"expected one of loss, train_accuracy.*got 'losses'"):
        history_of(1.0).column("losses")

"""The training loop: forward, loss, backward, step; and how it went.

`_epoch` is the loop that every textbook has, and all that learns. The rest measures, shows how it
goes, and ends training where there is a reason to.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.mode import no_grad
from tinygrad_edu.nn.fit_checks import (
    check_batches,
    check_numbers,
    check_parameters,
    check_parts,
    explain,
)
from tinygrad_edu.nn.history import Epoch, History, Silent, progress_of
from tinygrad_edu.optim.clipping import clip_grad_norm_
from tinygrad_edu.tensor import Tensor


class Model(Protocol):
    """What can be trained: a `Module`, or anything else that is called and has parameters."""

    def __call__(self, *inputs: Any) -> Any:
        """Compute the outputs of a batch."""

    def parameters(self) -> Iterable[Tensor]:
        """What is learnt."""


class Optimizer(Protocol):
    """What changes the parameters, by their gradients."""

    def step(self) -> object:
        """Change them."""

    def zero_grad(self) -> object:
        """Forget the gradients."""


class Schedule(Protocol):
    """What changes the learning rate."""

    def step(self) -> object:
        """Set the rate of what comes next."""


Loss = Callable[[Any, Any], Any]
Metric = Callable[[Any, Any], float]


def accuracy(outputs: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    """The share of examples whose largest score is that of their label.

    Args:
        outputs: scores (..., C) of C classes, two or more.
        labels: (...) integers.

    Raises:
        InputError: if shapes do not fit, or labels are no integers.
    """
    outputs, labels = np.asarray(outputs), np.asarray(labels)
    fits = outputs.shape[:-1] == labels.shape and outputs.shape[-1:] > (1,)
    if not fits or labels.dtype.kind not in "iu":
        raise InputError(
            "accuracy: expected scores (..., C) of 2 classes or more and integer labels (...), got "
            f"shapes {outputs.shape} and {labels.shape} of {labels.dtype}; pass a function of your "
            "own, such as metric=lambda z, t: np.mean((z > 0) == t) for one logit per example; or "
            "metric=None"
        )
    right = np.count_nonzero(np.argmax(outputs, axis=-1) == labels)
    return float(right / max(labels.size, 1))


def fit(
    model: Model,
    data: Iterable[tuple[Any, ...]],
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    *,
    test: Iterable[tuple[Any, ...]] | None = None,
    metric: Metric | None = accuracy,
    schedule: Schedule | None = None,
    schedule_each: str = "epoch",
    clip_norm: float | None = None,
    progress: bool = True,
    stop: Callable[[History], bool] | int | None = None,
    on_epoch: Callable[[History], object] | None = None,
    history: History | None = None,
) -> History:
    """Train a model: go through the data `epochs` times, and make a step for each batch.

        history = fit(model, loader, tg.cross_entropy, SGD(model.parameters(), lr=0.1), 10)

    While it runs, the model is in training mode, and for the test in evaluation mode; in the end
    all its parts are as they were. Ctrl-C ends training early, after a whole step: the parameters
    keep what they have learnt, and the history of the complete epochs is returned.

    Args:
        model: called with the inputs of a batch.
        data: batches (inputs, ..., targets), again in every epoch: a `DataLoader`.
        loss: (outputs, targets) -> the mean loss of a batch.
        optimizer: makes the steps.
        epochs: how often to go through the data.
        test: batches to measure after every epoch, nothing is learnt from them. With a patience
            they decide when to stop: then pass a validation part, and keep the test part away.
        metric: (outputs, targets) -> mean over a batch, shown as accuracy; None for no such number.
        schedule: its `step()` is called after every epoch, or batch.
        schedule_each: "epoch" or "batch".
        clip_norm: scale the gradient down to this norm, over all parameters, where it is longer.
        progress: show how it goes: a bar on a terminal, lines elsewhere or without rich.
        stop: called after every epoch; training ends when it is true. Or a patience: how many
            epochs in a row may fail to improve on the best test loss (or loss, without `test`).
        on_epoch: called after every epoch: to save the model, or to keep the best.
        history: one to continue; it has the epochs so far also when an error ends training.

    Raises:
        AnomalyError: if the loss, or after an epoch a parameter, is not finite; it names the epoch
            and the batch, and the first op that made such a number.
        InputError: if there are no batches of that kind, the loss is not one number, or the
            optimizer has none of the model's parameters.
        DtypeError: if an argument is no such thing.

    Source: in the open style of A. Zhang et al., Dive into Deep Learning, section 3.6 (2021).
    """
    check_parts(model, loss, optimizer, schedule, history)
    check_numbers(epochs, clip_norm, schedule_each)
    check_batches("data", data, epochs)
    if test is not None:
        check_batches("test", test, epochs)
    history = History() if history is None else history
    history.interrupted = False
    reason_to_stop = _stopper(stop)
    by_batch = schedule if schedule_each == "batch" else None
    first, last = len(history) + 1, len(history) + epochs
    undivided = _Undivided(optimizer)
    with _switched(model, training=True), progress_of(progress, last) as show, undivided:
        try:
            for number in range(first, last + 1):
                start, rate = perf_counter(), _rate(optimizer)
                learnt = _epoch(
                    model, data, loss, undivided, metric, by_batch, clip_norm, number, show
                )
                check_parameters(model, number)
                tested = evaluate(model, test, loss, metric) if test is not None else _NOTHING
                history.append(Epoch(*learnt, *tested, rate, perf_counter() - start))
                show.epoch(history)
                if schedule is not None and schedule_each == "epoch":
                    schedule.step()
                if on_epoch is not None:
                    on_epoch(history)
                if reason_to_stop(history):
                    break
        except KeyboardInterrupt:
            history.interrupted = True
        show.end(history)
    return history


def _epoch(
    model: Model,
    data: Iterable[tuple[Any, ...]],
    loss: Loss,
    optimizer: Optimizer,
    metric: Metric | None,
    schedule: Schedule | None,
    clip_norm: float | None,
    number: int,
    show: Silent,
) -> tuple[float, float]:
    """Learn from every batch once; return the mean loss and metric."""
    mean = _Mean(metric)
    for batch, (inputs, targets) in _batches(data):
        outputs = model(*inputs)
        value = loss(outputs, targets)
        if not mean.add(outputs, targets, value):
            explain(model, loss, inputs, targets, value, f"epoch {number}, batch {batch}")
        optimizer.zero_grad()
        value.backward()
        if clip_norm is not None:
            clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        show.batch(data, *mean.result())
    return mean.result()


def evaluate(
    model: Model,
    data: Iterable[tuple[Any, ...]],
    loss: Loss,
    metric: Metric | None = accuracy,
) -> tuple[float, float]:
    """Measure a model in evaluation mode: mean loss and metric (NaN without one).

    See `fit` for the arguments and errors.
    """
    mean = _Mean(metric)
    with _switched(model, training=False), no_grad():
        for batch, (inputs, targets) in _batches(data):
            outputs = model(*inputs)
            value = loss(outputs, targets)
            if not mean.add(outputs, targets, value):
                explain(model, loss, inputs, targets, value, f"test batch {batch}")
    return mean.result()


# --- batches and means ----------------------------------------------------------------------------

_NOTHING = (math.nan, math.nan)


def _batches(data: Iterable[Any]) -> Iterator[tuple[int, tuple[tuple[Any, ...], Any]]]:
    """Number the batches from 1, and tell inputs and targets apart."""
    count = 0
    for count, batch in enumerate(data, 1):
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise InputError(
                "fit: expected batches (inputs, ..., targets), got "
                f"{type(batch).__name__} of shape {np.shape(batch)}; wrap arrays in a DataLoader"
            )
        if np.shape(batch[-1])[:1] in ((), (0,)):
            raise InputError(
                f"fit: expected targets (N, ...) of at least one example, got shape "
                f"{np.shape(batch[-1])} in batch {count}"
            )
        yield count, (tuple(batch[:-1]), batch[-1])
    if count == 0:
        raise InputError("fit: expected at least one batch, got none")


class _Mean:
    """Mean loss and metric over examples, which come in batches that may differ in size."""

    def __init__(self, metric: Metric | None) -> None:
        self._metric = metric
        self._loss = self._score = 0.0
        self._count = 0

    def add(self, outputs: Any, targets: Any, value: Any) -> bool:
        """Count a batch with its mean loss; whether this is finite."""
        wrong = "fit: the loss of a batch must be a Tensor of one number, got"
        if not isinstance(value, Tensor):
            raise InputError(
                f"{wrong} {type(value).__name__}; compute it from the outputs, without .numpy() "
                "or .data"
            )
        if value.size != 1:
            raise InputError(f"{wrong} shape {value.shape}; use reduction='mean'")
        number, size = value.item(), len(targets)
        self._count += size
        self._loss += size * number
        if self._metric is not None:
            plain = outputs.numpy() if isinstance(outputs, Tensor) else outputs
            score = self._metric(plain, targets)
            try:
                self._score += size * float(score)
            except (TypeError, ValueError):
                raise DtypeError(
                    f"fit: the metric must give one number, got {type(score).__name__} of shape "
                    f"{np.shape(score)}"
                ) from None
        return math.isfinite(number)

    def result(self) -> tuple[float, float]:
        """The means; NaN for a metric that there is not."""
        score = math.nan if self._metric is None else self._score / self._count
        return self._loss / self._count, score


# --- what a step and an epoch need ----------------------------------------------------------------


@contextmanager
def _switched(model: Model, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode; every part gets its own mode back."""
    parts = [*model.modules()] if hasattr(model, "modules") else []
    before = [part.training for part in parts]
    try:
        for part in parts:
            part.training = training
        yield
    finally:
        for part, mode in zip(parts, before, strict=True):
            part.training = mode


class _Undivided:
    """An optimizer whose steps Ctrl-C does not cut in two: within `with`, it waits for their end.

    Half a step would leave some parameters behind the others. Where somebody else handles Ctrl-C,
    or in a thread, where there is none, nothing changes.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer, self._stepping, self._pressed = optimizer, False, False

    def zero_grad(self) -> None:
        self._optimizer.zero_grad()

    def step(self) -> None:
        self._stepping = True
        self._optimizer.step()
        self._stepping = False
        if self._pressed:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._installed = ours and threading.current_thread() is threading.main_thread()
        if self._installed:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, *_: object) -> None:
        if not self._stepping:
            raise KeyboardInterrupt
        self._pressed = True


def _rate(optimizer: Any) -> float:
    """The learning rate, NaN of an optimizer that does not tell."""
    groups = getattr(optimizer, "param_groups", None)
    rate = groups[0].get("lr") if groups else getattr(optimizer, "lr", None)
    return math.nan if rate is None else float(rate)


def _stopper(stop: Callable[[History], bool] | int | None) -> Callable[[History], bool]:
    """What tells after each epoch whether to stop."""
    if stop is None:
        return lambda history: False
    if callable(stop):
        return stop
    if isinstance(stop, bool) or not hasattr(stop, "__index__"):
        raise DtypeError(f"fit: stop must be a function or a number of epochs, got {stop!r}")
    if stop < 1:
        raise InputError(f"fit: stop must be at least 1 epoch of patience, got {stop}")

    def stalled(history: History) -> bool:
        losses = [e.loss if math.isnan(e.test_loss) else e.test_loss for e in history]
        return len(losses) - 1 - int(np.argmin(losses)) >= stop

    return stalled

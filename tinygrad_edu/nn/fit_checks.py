"""What can go wrong in `fit`: arguments that it cannot use, and numbers that are not finite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

from tinygrad_edu.data.checks import check_whole
from tinygrad_edu.errors import AnomalyError, DtypeError, InputError
from tinygrad_edu.mode import detect_anomaly
from tinygrad_edu.nn.history import History
from tinygrad_edu.tensor import Tensor


def check_parts(model: Any, loss: Any, optimizer: Any, schedule: Any, history: Any) -> None:
    """What `fit` is given is what it can use, and belongs together."""
    for part, fits, expected in (
        (model, callable(model) and hasattr(model, "parameters"), "model must be a Module"),
        (
            loss,
            callable(loss) and not isinstance(loss, type),
            "loss must be a function (outputs, targets), such as nn.CrossEntropyLoss()",
        ),
        (
            optimizer,
            hasattr(optimizer, "zero_grad") and not isinstance(optimizer, type),
            "optimizer must be one, such as optim.SGD(model.parameters(), lr=0.1)",
        ),
        (
            schedule,
            schedule is None or hasattr(schedule, "step"),
            "schedule must have a method step, as optim.LRScheduler(optimizer, f) has",
        ),
        (
            history,
            history is None or isinstance(history, History),
            "history must be a History; of a checkpoint: nn.History(nn.Epoch(*e) for e in saved)",
        ),
    ):
        if not fits:
            raise DtypeError(f"fit: {expected}; got {part!r:.60}")
    learnt = {id(p) for group in getattr(optimizer, "param_groups", ()) for p in group["params"]}
    if learnt and learnt.isdisjoint(map(id, model.parameters())):
        raise InputError(
            "fit: the optimizer has none of the model's parameters; make it anew, from "
            "model.parameters(), after the model"
        )


def check_numbers(epochs: Any, clip_norm: float | None, schedule_each: str) -> None:
    """The numbers, and the word, that `fit` is given are in range."""
    check_whole("fit", "epochs", epochs, 1)
    if schedule_each not in ("epoch", "batch"):
        raise InputError(f"fit: schedule_each must be 'epoch' or 'batch', got {schedule_each!r}")
    if clip_norm is not None and not clip_norm > 0:
        raise InputError(f"fit: clip_norm must be above 0, got {clip_norm}")


def check_batches(argument: str, data: Any, epochs: int) -> None:
    """The batches can be gone through in every epoch."""
    if not isinstance(data, Iterable):
        raise DtypeError(f"fit: {argument} must be a DataLoader; got {data!r:.60}")
    if isinstance(data, Iterator) and epochs > 1:
        raise InputError(
            f"fit: {argument} is a {type(data).__name__}, which can be gone through only once, not "
            f"in {epochs} epochs; pass a DataLoader or a list of batches"
        )


def explain(
    model: Any, loss: Any, inputs: tuple[Any, ...], targets: Any, value: Any, where: str
) -> NoReturn:
    """Compute a batch again to find the first op that made a non-finite number."""
    cause = None
    found = "computed again, the batch gave finite numbers: is there randomness in the model?"
    try:
        with detect_anomaly():
            loss(model(*inputs), targets)
    except AnomalyError as error:
        cause, found = error, str(error)
    if not all(map(_is_finite, inputs)):
        found += "; the inputs of the batch are not finite themselves"
    broken = _broken(model)
    if broken:
        found += f"; the step before had already made {', '.join(broken)} non-finite"
    raise AnomalyError(
        f"fit: the loss is {value.item()} in {where}: {found}. Common causes: a learning rate that "
        "is too high (or clip_norm is missing), or data that are not finite"
    ) from cause


def check_parameters(model: Any, number: int) -> None:
    """All parameters are finite after an epoch."""
    broken = _broken(model)
    if broken:
        raise AnomalyError(
            f"fit: a step in epoch {number} made {', '.join(broken)} non-finite, though every loss "
            "was finite: a gradient was not. Take a lower learning rate, or look for the op with "
            "tg.detect_anomaly()"
        )


def _broken(model: Any) -> list[str]:
    """The parameters that are not finite."""
    named = getattr(model, "named_parameters", None)
    pairs = enumerate(model.parameters()) if named is None else named()
    return [f"parameter {name}" for name, p in pairs if not _is_finite(p)]


def _is_finite(x: Any) -> bool:
    array = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())

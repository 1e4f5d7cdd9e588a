"""How training went, and showing how it goes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.files import write_aside
from tinygrad_edu.errors import InputError


class Epoch(NamedTuple):
    """How one pass over the data went; NaN is what was not measured.

    Attributes:
        loss: mean over the examples, each with the parameters as they were at its step.
        train_accuracy: of the same outputs.
        test_loss: mean over the test examples, with the parameters after the epoch.
        test_accuracy: likewise.
        rate: the learning rate.
        seconds: how long it took, the test included.
    """

    loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    rate: float
    seconds: float


class History(list[Epoch]):
    """How training went, epoch by epoch: `history[-1].test_accuracy`, `history.column("loss")`.

    Attributes:
        interrupted: whether Ctrl-C ended it.
    """

    interrupted: bool = False

    def __repr__(self) -> str:
        """A line for each epoch; of many, for the first and the last ones."""
        lines = [_line(number, len(self), epoch) for number, epoch in enumerate(self, 1)]
        if len(lines) > 12:
            lines[6:-5] = ["..."]
        return "\n".join(lines) or "no epoch yet"

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """One number of each epoch, (epochs,): see `Epoch` for their names."""
        if name not in Epoch._fields:
            raise InputError(
                f"History.column: expected one of {', '.join(Epoch._fields)}, got {name!r}"
            )
        return np.array([getattr(epoch, name) for epoch in self], np.float64)

    def plot(self, path: str | Path, title: str = "") -> None:
        """Draw the curves of loss and accuracy; needs the extra `plot`.

        Args:
            path: of the picture; its ending tells the format (.png, .svg, .pdf).
            title: stands above the curves.

        Raises:
            InputError: if there was no epoch yet.
        """
        if not self:
            raise InputError("History.plot: expected at least one epoch, got none")
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "History.plot needs matplotlib: pip install 'tinygrad-edu[plot]'", name="matplotlib"
            ) from error
        sides = {"loss": ("loss", "test_loss")}
        if not np.isnan([self.column("train_accuracy"), self.column("test_accuracy")]).all():
            sides["accuracy"] = ("train_accuracy", "test_accuracy")
        figure = Figure(figsize=(4.5 * len(sides), 3.6), layout="constrained")
        if title:
            figure.suptitle(title, wrap=True)
        for i, (what, columns) in enumerate(sides.items(), 1):
            axes: Any = figure.add_subplot(1, len(sides), i, xlabel="epoch", ylabel=what)
            for name, label in zip(columns, ("train", "test"), strict=True):
                numbers = self.column(name)
                if not np.isnan(numbers).all():
                    marker = "." if len(self) < 60 else ""
                    axes.plot(range(1, len(self) + 1), numbers, marker=marker, label=label)
            axes.set_xlim(0.5, len(self) + 0.5)
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            axes.grid(alpha=0.3)
            axes.legend()
        write_aside(path, figure.savefig)


# --- progress -------------------------------------------------------------------------------------


class Silent:
    """Shows nothing."""

    def batch(self, data: Any, loss: float, accuracy: float) -> None:
        """One more batch of the data was learnt; the means of this epoch so far."""

    def epoch(self, history: History) -> None:
        """One more epoch is complete."""

    def end(self, history: History) -> None:
        """Training has ended, early or not."""


class _Lines(Silent):
    """Prints the first and the last epoch, and about ten in between."""

    def __init__(self, last: int) -> None:
        self._last, self._printed = last, 0

    def epoch(self, history: History) -> None:
        if len(history) % max(1, self._last // 10) == 0 or len(history) in (1, self._last):
            self._print(history)

    def end(self, history: History) -> None:
        if history and len(history) != self._printed:
            self._print(history)
        if history.interrupted:
            print(_interrupted(history))

    def _print(self, history: History) -> None:
        self._printed = len(history)
        print(_line(self._printed, self._last, history[-1]), flush=True)


class _Bar(Silent):
    """Moves a bar, batch by batch."""

    def __init__(self, bar: Any, last: int) -> None:
        self._bar, self._task = bar, bar.add_task("", total=last, number=0)
        self._tested: tuple[float, ...] = ()  # of the epoch before: they stay until there are new

    def batch(self, data: Any, loss: float, accuracy: float) -> None:
        by = 1 / len(data) if hasattr(data, "__len__") else 0
        self._bar.update(self._task, advance=by, description=self._text(loss, accuracy))

    def epoch(self, history: History) -> None:
        number, self._tested = len(history), history[-1][2:4]
        text = self._text(*history[-1][:2])
        self._bar.update(self._task, completed=number, number=number, description=text)

    def _text(self, loss: float, accuracy: float) -> str:
        # Short, so that a terminal of 80 columns has room for all of it.
        return _numbers(loss, accuracy, *self._tested).replace("accuracy", "acc")

    def end(self, history: History) -> None:
        if history.interrupted:
            self._bar.console.print(_interrupted(history))


def _line(number: int, last: int, epoch: Epoch) -> str:
    return f"epoch {number:>{len(str(last))}}/{last}  {_numbers(*epoch[:4])}"


def _numbers(*numbers: float) -> str:
    names = ("loss", "accuracy", "test loss", "test accuracy")
    shown = zip(names, numbers, strict=False)  # before the first test there are two
    return "  ".join(f"{name} {x:.4f}" for name, x in shown if not math.isnan(x))


def _interrupted(history: History) -> str:
    return f"interrupted after epoch {len(history)}; what was learnt is kept"


@contextmanager
def progress_of(wanted: bool, last: int) -> Iterator[Silent]:
    """A bar on a terminal, lines elsewhere or without rich; nothing where it is not wanted.

    Args:
        wanted: whether to show anything.
        last: the number of the last epoch.
    """
    if not wanted:
        yield Silent()
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column
    except ImportError:
        yield _Lines(last)
        return
    console = Console(highlight=False)
    if not console.is_interactive:
        yield _Lines(last)
        return
    count = Column(min_width=len(f"epoch {last}/{last}"), no_wrap=True)  # the bar shrinks first
    columns = (
        TextColumn("epoch {task.fields[number]}/{task.total}", table_column=count),
        BarColumn(bar_width=20),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as bar:
        yield _Bar(bar, last)

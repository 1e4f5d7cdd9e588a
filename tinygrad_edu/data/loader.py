"""Mini-batches: some of the examples at a time, in order or shuffled."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.errors import DtypeError, InputError

Batch = tuple[npt.NDArray[Any], ...]


class DataLoader:
    """Batches of examples, again and again: every `for` loop over it is one epoch.

        loader = DataLoader((images, labels), batch_size=16, shuffle=True, rng=rng)
        for epoch in range(20):
            for x, y in loader:  # x: (16, 64), y: (16,)
                ...

    Nothing is copied where the order is kept: a batch is a view of the arrays. Batches are
    read-only, so that no step of training can change the data by accident.

    Args:
        data: arrays of equal length (N, ...) in a tuple; one array; or a sequence of N examples,
            each a number, an array, or a tuple of these, which are stacked.
        batch_size: how many examples a batch has; the last one has what is left.
        shuffle: draw a new order at the start of each epoch.
        drop_last: leave out the last batch where it is smaller.
        rng: where the order is drawn from. Its state is the only thing that the next order
            depends on: who restores it gets the same batches again.

    Raises:
        InputError: if there are no examples or no full batch, if arrays differ in length, if
            `batch_size` is below 1, or if `shuffle` comes without `rng`.
        DtypeError: if `data` is nothing that has examples.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.data = _checked(data)
        self.batch_size = operator.index(batch_size)
        self.shuffle, self.drop_last, self.rng = shuffle, drop_last, rng
        self.examples = len(self.data[0] if isinstance(self.data, tuple) else self.data)
        if self.batch_size < 1:
            raise InputError(f"DataLoader: batch_size must be at least 1, got {batch_size}")
        if self.examples == 0:
            raise InputError("DataLoader: expected at least one example, got none")
        if len(self) == 0:
            raise InputError(
                f"DataLoader: {self.examples} examples make no batch of {batch_size} with "
                "drop_last=True; take a smaller batch_size"
            )
        if shuffle and not isinstance(rng, np.random.Generator):
            raise InputError(
                "DataLoader: shuffle=True needs rng=np.random.default_rng(seed), got "
                f"{type(rng).__name__}"
            )

    def __len__(self) -> int:
        """How many batches an epoch has."""
        full, left = divmod(self.examples, self.batch_size)
        return full + bool(left and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        """One epoch. The order is drawn here, not at the first batch."""
        order = None
        if self.shuffle:
            assert self.rng is not None, "checked when it was made"
            order = self.rng.permutation(self.examples)
        return self._batches(order)

    def _batches(self, order: npt.NDArray[np.int64] | None) -> Iterator[Batch]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            stop = min(start + self.batch_size, self.examples)
            if isinstance(self.data, tuple):
                rows = slice(start, stop) if order is None else order[start:stop]
                batch = tuple(array[rows] for array in self.data)
            else:
                chosen = range(start, stop) if order is None else order[start:stop].tolist()
                batch = _stacked([self.data[i] for i in chosen])
            for array in batch:
                array.flags.writeable = False  # of the view, or of the fresh array: not of `data`
            yield batch


def _checked(data: Any) -> tuple[npt.NDArray[Any], ...] | Sequence[Any]:
    """Arrays of one length, or a sequence as it is."""
    if isinstance(data, np.ndarray):
        data = (data,)
    if isinstance(data, tuple):
        arrays = tuple(np.asarray(part) for part in data)
        shapes = [array.shape for array in arrays]
        if not arrays or () in shapes or len({shape[0] for shape in shapes}) > 1:
            raise InputError(
                f"DataLoader: expected arrays (N, ...) of one length N, got {shapes}; pick what "
                "belongs together, like (data.train_images, data.train_labels)"
            )
        return arrays
    if isinstance(data, Mapping | str) or not (
        hasattr(data, "__len__") and hasattr(data, "__getitem__")
    ):
        raise DtypeError(
            "DataLoader: expected a tuple of arrays, or a sequence of examples (with __len__ and "
            f"__getitem__), got {type(data).__name__}"
        )
    return data


def _stacked(examples: list[Any]) -> Batch:
    """Examples, one above the other: a column for each of their parts."""
    rows = [example if isinstance(example, tuple) else (example,) for example in examples]
    try:
        return tuple(np.stack(column) for column in zip(*rows, strict=True))
    except ValueError as error:
        shapes = sorted({str(tuple(np.shape(part) for part in row)) for row in rows})
        raise InputError(
            f"DataLoader: examples of one batch must have equal shapes, got {', '.join(shapes)}; "
            "pad the shorter ones"
        ) from error

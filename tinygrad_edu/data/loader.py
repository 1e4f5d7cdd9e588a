"""Mini-batches: some of the examples at a time, in order or shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.checks import check_whole
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.ops.random import check_rng
from tinygrad_edu.tensor import Tensor

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
            each a number, an array, or a tuple of these, which are stacked. Tensors become arrays.
        batch_size: how many examples a batch has; the last one has what is left.
        shuffle: draw a new order at the start of each epoch.
        drop_last: leave out the last batch where it is smaller.
        rng: where the order is drawn from. Its state is the only thing that the next order
            depends on: who restores it gets the same batches again.

    Raises:
        InputError: if there are no examples or no full batch, if arrays differ in length, or if
            `batch_size` is below 1; in an epoch, if the examples of a batch differ in shape.
        DtypeError: if `data` is nothing that has examples, or these are no arrays of numbers or
            texts; if `batch_size` is no whole number, or `shuffle` comes without an `rng`.
        GraphError: if a Tensor has a gradient to hand on, which would be lost.
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
        check_whole("DataLoader", "batch_size", batch_size, 1)
        if shuffle:
            check_rng("DataLoader with shuffle=True", rng)
        self.data = _checked(data)
        self.batch_size = int(batch_size)
        self.shuffle, self.drop_last, self.rng = shuffle, drop_last, rng
        self.examples = len(self.data[0] if isinstance(self.data, tuple) else self.data)
        if self.examples == 0:
            raise InputError("DataLoader: expected at least one example, got none")
        if len(self) == 0:
            raise InputError(
                f"DataLoader: {self.examples} examples make no batch of {batch_size} with "
                "drop_last=True; take a smaller batch_size"
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
    if isinstance(data, np.ndarray | Tensor):
        data = (data,)
    if isinstance(data, tuple):
        arrays = tuple(map(_as_array, data))
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
    rows = [
        tuple(map(_as_array, example if isinstance(example, tuple) else (example,)))
        for example in examples
    ]
    shapes = {tuple(part.shape for part in row) for row in rows}
    if len(shapes) > 1:
        raise InputError(
            "DataLoader: examples of one batch must have equal shapes, got "
            f"{', '.join(map(str, sorted(shapes)))}; pad the shorter ones; whole arrays of inputs "
            "and targets belong in a tuple"
        )
    return tuple(map(np.stack, zip(*rows, strict=True)))


def _as_array(part: Any) -> npt.NDArray[Any]:
    """An array without copying; of a list or a Tensor, a new one."""
    try:
        array = np.asarray(part)
    except ValueError as error:
        raise InputError(
            "DataLoader: expected lists of equal lengths; pad the shorter ones"
        ) from error
    if array.dtype == object or np.ma.isMaskedArray(part):
        raise DtypeError(
            "DataLoader: expected arrays of numbers or texts, got "
            f"{type(part).__name__} of dtype {array.dtype}"
        )
    return array

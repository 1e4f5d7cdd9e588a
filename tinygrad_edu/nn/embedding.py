"""Embedding: a vector for each word, user, ..., looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import DtypeError, IndexingError, InputError
from tinygrad_edu.nn import init
from tinygrad_edu.nn.checks import check_sizes, title
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.ops.index import embedding
from tinygrad_edu.ops.random import check_rng


class Embedding(Module):
    """Row `i` of the weight for each number i of the input.

    The gradient of the weight is a `tg.RowSparse` of the rows used, so that a step costs what the
    batch costs, however large the vocabulary is; `sparse=False` (PyTorch's default) makes it dense.

    Args:
        num_embeddings: how many vectors.
        embedding_dim: how long each is.
        padding_idx: a number whose vector starts at 0 and gets no gradient: what fills up short
            sentences. Negative ones count from the end.
        sparse: keep the gradient of the rows used alone.
        rng: where the initial numbers come from, a standard normal distribution as in PyTorch.
        dtype: of the weight; float64 by default.

    Attributes:
        weight: (num_embeddings, embedding_dim).

    Raises:
        InputError: if a size is not positive or padding_idx is out of range.
        DtypeError: if `rng` is no Generator, or at the call if the input does not hold integers.
        IndexingError: at the call if one is not between 0 and num_embeddings - 1.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        sparse: bool = True,
        rng: np.random.Generator | None = None,
        dtype: Any = float,
    ) -> None:
        check_sizes(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not (
            isinstance(padding_idx, int | np.integer)
            and -num_embeddings <= padding_idx < num_embeddings
        ):
            raise InputError(
                f"Embedding: expected padding_idx below num_embeddings = {num_embeddings}, got "
                f"{padding_idx!r}"
            )
        check_rng("Embedding", rng)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.sparse = sparse
        weight = init.normal((num_embeddings, embedding_dim), rng=rng, dtype=dtype)
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        self.weight = Parameter(weight)

    def forward(self, index: Any) -> Any:
        """(...) integers to (..., embedding_dim)."""
        index = np.asarray(plain(index))
        if index.dtype.kind not in "iu":
            raise DtypeError(f"{title(self)}: expected integers, got dtype {index.dtype}")
        if index.size and not (index.min() >= 0 and index.max() < self.num_embeddings):
            raise IndexingError(
                f"{title(self)}: expected numbers between 0 and {self.num_embeddings - 1}, got "
                f"{index.min()} to {index.max()}"
            )
        rows = embedding(self.weight, index, sparse=self.sparse)
        if self.padding_idx is None:
            return rows
        return np.where((index != self.padding_idx)[..., None], rows, rows.detach())

    def extra_repr(self) -> str:
        """The sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

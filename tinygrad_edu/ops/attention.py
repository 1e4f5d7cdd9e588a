"""Attention: each query's mean of the values, weighted by how well the keys match it."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite
from tinygrad_edu.ops.random import dropout
from tinygrad_edu.ops.reduce import softmax
from tinygrad_edu.ops.windows import as_array


@composite
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """`softmax(query @ keyᵀ · scale + mask) @ value`.

    A query that may look at no key at all gets zeros, as in PyTorch, and gives zero gradients.

    Args:
        query: (..., L, E), float.
        key: (..., S, E).
        value: (..., S, V).
        attn_mask: broadcasts to (..., L, S): booleans, True where a query may look, or numbers
            that are added to the scores (-inf where it may not).
        dropout_p: probability of a weight to be dropped; needs `rng`.
        is_causal: query i may look at keys 0 to i only.
        scale: by default 1/√E.
        rng: for the dropout.

    Returns:
        (..., L, V).

    Raises:
        InputError: if shapes do not fit, or there are both a mask and `is_causal`.

    Source: A. Vaswani et al., "Attention Is All You Need" (2017), equation 1.
    """
    query, key, value = as_array(query), as_array(key), as_array(value)
    if (
        min(query.ndim, key.ndim, value.ndim) < 2
        or query.shape[-1] != key.shape[-1]
        or key.shape[-2] != value.shape[-2]
    ):
        raise InputError(
            "scaled_dot_product_attention: expected query (..., L, E), key (..., S, E) and value "
            f"(..., S, V), got {query.shape}, {key.shape} and {value.shape}"
        )
    queries, keys = query.shape[-2], key.shape[-2]
    if is_causal and attn_mask is not None:
        raise InputError("scaled_dot_product_attention: expected attn_mask or is_causal, got both")
    if is_causal:
        attn_mask = np.tri(queries, keys, dtype=bool)
    if scale is None:
        scale = 1 / math.sqrt(max(query.shape[-1], 1))
    scores = (query * scale) @ np.swapaxes(key, -1, -2)
    weights = softmax(scores) if attn_mask is None else _masked(scores, as_array(attn_mask))
    if dropout_p:
        weights = dropout(weights, dropout_p, rng=rng)
    return weights @ value


def _masked(scores: Array, mask: Array) -> Array:
    """The softmax of what is not masked; 0 in rows without anything."""
    try:
        shape = np.broadcast_shapes(scores.shape, mask.shape)
    except ValueError:
        shape = ()
    if shape != scores.shape:
        raise InputError(
            f"scaled_dot_product_attention: expected attn_mask to broadcast to {scores.shape}, got "
            f"{mask.shape}"
        )
    scores = np.where(mask, scores, -np.inf) if mask.dtype.kind == "b" else scores + mask
    blind = np.all(scores == -np.inf, axis=-1, keepdims=True)
    return np.where(blind, 0.0, softmax(scores))

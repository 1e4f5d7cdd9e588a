"""Attention with several heads, and the Transformer block made with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.nn import init
from tinygrad_edu.nn.activations import activation as activation_of
from tinygrad_edu.nn.checks import (
    check_probability,
    check_sizes,
    shape_of,
    title,
    wrong_input,
)
from tinygrad_edu.nn.dropout import Dropout
from tinygrad_edu.nn.linear import Linear
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.nn.normalisation import LayerNorm
from tinygrad_edu.ops.attention import scaled_dot_product_attention
from tinygrad_edu.ops.linalg import linear
from tinygrad_edu.ops.random import check_rng

Rng = np.random.Generator | None


class MultiheadAttention(Module):
    """Every token looks at the others, with several pairs of eyes (heads).

    Query, key and value are three linear maps of the tokens. Each is divided among the heads, each
    head attends by itself, and a last linear map joins what they found.

    Weights are those of PyTorch's module of this name, and load from it. Three things differ: the
    batch comes first, the result is returned without the weights, and in a mask True means *may
    look* (as in `tg.scaled_dot_product_attention` and PyTorch's function of that name, but not in
    PyTorch's module).

    Args:
        embed_dim: numbers per token.
        num_heads: must divide embed_dim.
        dropout: probability of a weight to be dropped in training.
        bias: whether the linear maps have one.
        rng: where the initial numbers, and those of the dropout, come from.
        dtype: of the parameters; float64 by default.

    Attributes:
        in_proj_weight: (3 embed_dim, embed_dim): query, key and value, one below the other.
        in_proj_bias: (3 embed_dim,), or None.
        out_proj: the last `Linear`.

    Raises:
        InputError: if a size is not positive, heads do not divide embed_dim, or at the call if the
            input does not fit.
        DtypeError: if `rng` is no Generator, or at the call if the mask holds integers.

    Source: A. Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        check_sizes(self, embed_dim=embed_dim, num_heads=num_heads)
        check_probability(self, "dropout", dropout)
        if embed_dim % num_heads:
            raise InputError(
                f"MultiheadAttention: expected num_heads to divide embed_dim = {embed_dim}, got "
                f"{num_heads}"
            )
        self.rng = check_rng("MultiheadAttention", rng)
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        weight = init.xavier_uniform((3 * embed_dim, embed_dim), rng=rng, dtype=dtype)
        self.in_proj_weight = Parameter(weight)
        zeros = init.zeros(3 * embed_dim, dtype=dtype)
        self.in_proj_bias = Parameter(zeros) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, rng=rng, dtype=dtype)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        attn_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """Attend; a mask is passed by name, for the fourth argument is another one in PyTorch.

        Args:
            query: (..., L, embed_dim): the tokens that look.
            key: (..., S, embed_dim): the tokens that are looked at; by default the query itself.
            value: (..., S, embed_dim): what they say; by default the key.
            attn_mask: broadcasts to (..., num_heads, L, S): True where a token may look, or numbers
                that are added to the scores.
            is_causal: token i may look at tokens 0 to i only.

        Returns:
            (..., L, embed_dim).
        """
        key = query if key is None else key
        value = key if value is None else value
        for x in (query, key, value):
            shape = shape_of(x)
            if len(shape) < 2 or shape[-1] != self.embed_dim or not shape[-2]:
                raise wrong_input(self, f"(..., L, {self.embed_dim}) with L >= 1", x)
        if attn_mask is not None and np.asarray(plain(attn_mask)).dtype.kind not in "bf":
            raise DtypeError(
                f"{title(self)}: expected attn_mask of booleans, or of floats that are added to "
                "the scores, got other numbers; use mask.astype(bool)"
            )
        weights = np.split(self.in_proj_weight, 3)
        biases = [None] * 3 if self.in_proj_bias is None else np.split(self.in_proj_bias, 3)
        inputs = zip((query, key, value), weights, biases, strict=True)
        q, k, v = (self._heads(linear(x, W, b, transposed=True)) for x, W, b in inputs)
        p = self.dropout if self.training else 0.0
        out = scaled_dot_product_attention(q, k, v, attn_mask, p, is_causal, rng=self.rng)
        joined = np.swapaxes(out, -2, -3)
        return self.out_proj(joined.reshape((*joined.shape[:-2], self.embed_dim)))

    def _heads(self, x: Any) -> Any:
        """(..., L, embed_dim) to (..., num_heads, L, embed_dim / num_heads)."""
        size = self.embed_dim // self.num_heads
        return np.swapaxes(x.reshape((*x.shape[:-1], self.num_heads, size)), -2, -3)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.embed_dim}, num_heads={self.num_heads}"


class TransformerBlock(Module):
    """One block of a Transformer, pre-norm: x + attention(norm(x)), then x + mlp(norm(x)).

    The sums let signals and gradients pass unchanged, however many blocks there are. Its weights
    are those of PyTorch's `TransformerEncoderLayer(norm_first=True)`, and load from it.

    Args:
        d_model: numbers per token.
        nhead: heads of the attention.
        dim_feedforward: hidden units of the MLP.
        dropout: probability in training, in attention, MLP and before both sums.
        activation: of the MLP, as in `nn.MLP`.
        rng: where the initial numbers, and those of the dropout, come from.
        dtype: of the parameters; float64 by default.

    Attributes:
        self_attn: `MultiheadAttention`.
        linear1: `Linear` to the hidden units.
        linear2: `Linear` back.
        norm1: `LayerNorm` before the attention.
        norm2: `LayerNorm` before the MLP.

    Raises:
        InputError: if sizes do not fit, or at the call the input.
        DtypeError: if `rng` is no Generator.

    Source: A. Vaswani et al., "Attention Is All You Need" (2017), section 3.1; R. Xiong et al., "On
    Layer Normalization in the Transformer Architecture" (2020), for the place of the norms.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        *,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, rng=rng, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, rng=rng, dtype=dtype)
        self.linear2 = Linear(dim_feedforward, d_model, rng=rng, dtype=dtype)
        self.norm1 = LayerNorm(d_model, dtype=dtype)
        self.norm2 = LayerNorm(d_model, dtype=dtype)
        self.dropout = Dropout(dropout, rng=rng)
        self.activation = activation_of(self, activation)

    def forward(self, x: Any, *, attn_mask: Any = None, is_causal: bool = False) -> Any:
        """(..., L, d_model) to the same shape; mask as in `MultiheadAttention`."""
        shape = shape_of(x)
        if len(shape) < 2 or shape[-1] != self.self_attn.embed_dim:
            raise wrong_input(self, f"(..., L, {self.self_attn.embed_dim})", x)
        seen = self.self_attn(self.norm1(x), attn_mask=attn_mask, is_causal=is_causal)
        x = x + self.dropout(seen)
        hidden = self.linear1(self.norm2(x))
        hidden = hidden if self.activation is None else self.activation(hidden)
        return x + self.dropout(self.linear2(self.dropout(hidden)))

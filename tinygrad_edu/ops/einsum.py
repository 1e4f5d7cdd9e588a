"""`einsum`: a sum of products, whose rules are sums of products too."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np

from tinygrad_edu.errors import UnsupportedError
from tinygrad_edu.op import Array, Bound, register, wrt
from tinygrad_edu.ops.index import scatter_add
from tinygrad_edu.ops.linalg import refuse_out


def _bind_einsum(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Bound:
    """Read a call of `einsum`, in its string form or as `einsum(x, [0, 1], y, [1, 2], [0, 2])`."""
    refuse_out("einsum", out)
    if options:
        raise UnsupportedError(
            f"einsum: option {next(iter(options))!r} has no gradient rule; "
            "supported options: optimize"
        )
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], operands[1:]
    else:
        arrays, lists = operands[: len(operands) // 2 * 2 : 2], operands[1::2]
        subscripts = ",".join(map(_letters, lists))
        if len(operands) % 2:
            subscripts += "->" + _letters(operands[-1])
    arrays = tuple(x if hasattr(x, "shape") else np.asarray(x) for x in arrays)
    chosen = {} if optimize is False else {"optimize": optimize}
    return arrays, {"subscripts": subscripts, **chosen}


def _letters(axes: Sequence[Any]) -> str:
    """The numbers of einsum's list form as letters, in the order that NumPy gives them."""
    letters = ascii_uppercase + ascii_lowercase
    return "".join("..." if axis is ... else letters[axis] for axis in axes)


def _explicit(subscripts: str, operands: Sequence[Array]) -> tuple[list[str], str]:
    """A letter for every axis: the ellipses named, the result spelled out."""
    given, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = given.split(",")
    unnamed = [
        x.ndim - len(term.replace("...", "")) if "..." in term else 0
        for x, term in zip(operands, terms, strict=True)
    ]
    most = max(unnamed)
    spare = "".join(letter for letter in ascii_letters if letter not in subscripts)[:most]
    if not arrow:  # NumPy: the ellipsis, then what occurs once, in the order of the alphabet
        once = [letter for letter in given if letter.isalpha() and given.count(letter) == 1]
        result = "..." + "".join(sorted(once))
    named = [term.replace("...", spare[most - n :]) for n, term in zip(unnamed, terms, strict=True)]
    return named, result.replace("...", spare)


def _einsum_rule(
    g: Array,
    out: Array,
    *operands: Array,
    position: int,
    subscripts: str,
    optimize: Any = False,
) -> Array:
    """`g` takes the operand's place, the operand's letters that of the result.

    Source: S. Laue, M. Mitterreiter, J. Giesen, "Computing Higher Order Derivatives of Matrix and
    Tensor Expressions" (2018), theorem 8; letters that occur in one operand only (a sum over it),
    repeated letters (a diagonal) and stretched axes are treated separately.
    """
    terms, result = _explicit(subscripts, operands)
    x, term = operands[position], terms[position]
    others = [i for i in range(len(operands)) if i != position]
    letters = "".join(dict.fromkeys(term))
    known = "".join((result, *(terms[i] for i in others)))
    kept = "".join(letter for letter in letters if letter in known)
    given = ",".join([*(terms[i] for i in others), result])
    chosen: dict[str, Any] = {}
    # Looking for a matrix product takes 10 µs. A path fits one sum only, and cannot be passed on.
    if optimize is not False or max(g.size, *(y.size for y in operands)) > 10_000:
        chosen["optimize"] = optimize if isinstance(optimize, str) else True
    share = np.einsum(f"{given}->{kept}", *(operands[i] for i in others), g, **chosen)

    found = dict(zip(kept, share.shape, strict=True))
    sizes = dict(zip(term, x.shape, strict=True))
    if len(kept) < len(letters):  # what was summed up in x alone: each element counts the same
        share = share.reshape(tuple(found.get(letter, 1) for letter in letters))
    stretched = tuple(
        i for i, letter in enumerate(letters) if sizes[letter] == 1 < found.get(letter, 1)
    )
    if stretched:
        share = share.sum(axis=stretched, keepdims=True)
    once = tuple(sizes[letter] for letter in letters)
    if share.shape != once:
        share = np.broadcast_to(share, once)
    return share if letters == term else _on_diagonals(share, letters, term)


def _on_diagonals(share: Array, letters: str, term: str) -> Array:
    """Zeros with `share`, whose axes are `letters`, where the repeated letters of `term` agree."""
    axes = list(letters)
    for letter in letters:
        times = term.count(letter)
        if times == 1:
            continue
        axis = axes.index(letter)
        n = share.shape[axis]
        share = np.moveaxis(share, axis, -1)
        axes.append(axes.pop(axis))
        rest, step = share.shape[:-1], sum(n**i for i in range(times))
        share = scatter_add(share, (..., slice(None, None, step)), (*rest, n**times))
        share = share.reshape((*rest, *(n,) * times))
        axes += letter * (times - 1)
    order = []
    for letter in term:
        order.append(axes.index(letter))
        axes[order[-1]] = ""
    return np.transpose(share, order)


register(
    np.einsum,
    wrt("*operands", _einsum_rule),
    bind=_bind_einsum,
    forward=lambda *operands, subscripts, **options: np.einsum(subscripts, *operands, **options),
)

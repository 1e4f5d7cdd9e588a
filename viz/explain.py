"""`explain(loss)`: a page that steps through the chain rule, with the engine's own numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_edu import DtypeError, Edge, GraphError, InputError, Tensor
from tinygrad_edu.graph import snapshot, values_below
from viz.files import checked, write
from viz.folding import plan_of
from viz.naming import names_of
from viz.page import page_of
from viz.steps import Story
from viz.view import view_of
from viz.watching import watched

LIMIT = 400  # values of the graph; more would make the page slow, and nobody would step through


def explain(
    loss: Tensor,
    path: str | os.PathLike[str] = "backprop.html",
    *,
    names: Mapping[str, Any] | None = None,
    learning_rate: float = 0.1,
    seed: Any = None,
    max_cells: int = 64,
    title: str | None = None,
    passes: Mapping[str, Sequence[Edge]] | None = None,
) -> Path:
    """Write a page that steps through the forward and the backward pass, edge by edge.

        viz.explain(loss, "backprop.html", names=locals())

    It is one file that opens from disk. The numbers are those of the engine's own backward pass,
    watched by `tg.observe`; no `.grad` is touched, and the graph is kept.

    Args:
        loss: where the backward pass starts; of one element, unless `seed` is given.
        path: of the page, ends in ".html".
        names: what to call Tensors, such as `locals()`.
        learning_rate: of the update that is shown at the end.
        seed: the gradient to start with, in the shape of `loss`; by default 1.
        max_cells: arrays of more numbers are cut to corners and statistics.
        title: of the page.
        passes: title -> edges, to be shown instead of the engine's own backward pass: a wrong
            way next to the right one, which comes first.

    Returns:
        The path.

    Raises:
        DtypeError: if `loss` is no Tensor, or an option has a wrong type.
        GraphError: if `loss` needs no gradient, or its graph has been freed.
        InputError: if the graph is too large, an option is out of its range, or the page cannot
            be written.
    """
    path = checked(path, (".html",), "explain")
    _check(loss, names, learning_rate, max_cells, title, passes)
    _refuse_too_large(loss)
    graph = snapshot([loss])
    start = _seed(graph.vertices[graph.outputs[0]].array, seed)
    named = names_of(graph, names or {})
    edges = {"Backward": watched(graph, [loss], [start])} if passes is None else passes
    if title is None:
        title = f"The chain rule, step by step: {named[graph.outputs[0]]}"
    plan = plan_of(graph, collapse="none", constants="show", max_nodes=None)
    with np.errstate(all="ignore"):  # what is not finite is shown as such
        page = page_of(
            Story(graph, named, start, float(learning_rate), check=passes is not None).sections(
                edges
            ),
            view_of(graph, named, plan, gradients=False),
            title=title,
            max_cells=max_cells,
        )
    return write(path, page.encode(), "explain")


def _seed(loss: Any, seed: Any) -> Any:
    """What the backward pass starts with: ones of the kind of the loss, or what was given."""
    if seed is None:
        if loss.size != 1:
            raise InputError(
                f"explain: expected a loss of one element, got shape {loss.shape}; pass a sum or "
                "mean of it, or seed=..., the gradient to start with"
            )
        return np.ones_like(loss)
    given = seed.data if isinstance(seed, Tensor) else seed
    try:
        if np.iscomplexobj(given):
            raise TypeError("complex numbers")
        with np.errstate(over="ignore"):  # what becomes infinite is shown as such
            array = np.array(given, loss.dtype)
    except (TypeError, ValueError) as error:
        raise DtypeError(
            f"explain: expected a seed of real numbers, got {type(seed).__name__}; pass an array "
            f"of shape {loss.shape}"
        ) from error
    if array.shape != loss.shape:
        raise InputError(
            f"explain: expected a seed of the shape of the loss, {loss.shape}, got {array.shape}; "
            "it is the gradient of something with respect to the loss"
        )
    return array


def _check(
    loss: Any, names: Any, learning_rate: Any, max_cells: Any, title: Any, passes: Any
) -> None:
    if not isinstance(loss, Tensor):
        raise DtypeError(
            f"explain: expected a Tensor, got {type(loss).__name__}; pass the result whose "
            "gradient is to be explained"
        )
    if not loss.requires_grad:
        raise GraphError(
            "explain: expected a Tensor that needs a gradient, got one that was computed from "
            "none; give the parameters requires_grad=True and compute it outside of no_grad"
        )
    for what, value in (("names", names), ("passes", passes)):
        if not isinstance(value, Mapping | None):
            raise DtypeError(
                f"explain: expected {what} to be a dict, got {type(value).__name__}; pass "
                + ("names=locals()" if what == "names" else "passes={'My way': edges}")
            )
    if not isinstance(title, str | None):
        raise DtypeError(
            f"explain: expected title to be a text, got {type(title).__name__}; leave it out for "
            "one that names the loss"
        )
    if passes is not None and not passes:
        raise InputError("explain: expected at least one backward pass, got none; leave passes out")
    for name, edges in (passes or {}).items():
        is_list = isinstance(name, str) and isinstance(edges, list | tuple)
        if not is_list or not all(isinstance(edge, Edge) for edge in edges):
            raise DtypeError(
                f"explain: expected passes to be a title and a list of tg.Edge each, got "
                f"{name!r:.60} and {type(edges).__name__}; collect them with tg.observe(...)"
            )
    _check_numbers(learning_rate, max_cells)


def _check_numbers(learning_rate: Any, max_cells: Any) -> None:
    is_number = isinstance(learning_rate, int | float | np.integer | np.floating)
    if not is_number or not 0 < learning_rate < 1e300:
        raise InputError(
            "explain: expected learning_rate to be a finite number above 0, got "
            f"{learning_rate!r:.60}; 0.1 is the default"
        )
    if isinstance(max_cells, bool) or not isinstance(max_cells, int) or max_cells < 1:
        raise InputError(
            f"explain: expected max_cells to be an int of at least 1, got {max_cells!r:.60}; "
            "64 is the default"
        )


def _refuse_too_large(loss: Tensor) -> None:
    """Count no further than needed, and notice what an earlier backward pass has freed."""
    for count, value in enumerate(values_below([loss]), 1):
        if count > LIMIT:
            raise InputError(
                f"explain: expected a graph of at most {LIMIT} values, got more; explain an "
                "earlier Tensor, detach() what it starts from, or use fewer layers or steps"
            )
        record = value.node if isinstance(value, Tensor) else None
        if record is not None and record.inputs is None:
            raise GraphError(
                "explain: expected a whole graph, but a backward pass has freed the inputs of "
                f"{record.op.name}; call explain before backward(), or "
                "backward(retain_graph=True)"
            )

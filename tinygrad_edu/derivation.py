"""A gradient that a person derived, compared with the engine's over many inputs.

Where they differ, the engine is asked which mistake would give the derived numbers: it runs its
chain rule again with one local gradient left out, taken at the wrong place, with a matrix not
transposed, and so on. If one of these is what was derived, in every case that fails, the message
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from tinygrad_edu.backward import backpropagate, plain
from tinygrad_edu.diagnosis import (
    NO_PATTERN,
    NOT_COMMON,
    UNKNOWN,
    WrongGradient,
    common_cause,
    replaced_rules,
)
from tinygrad_edu.errors import AutogradError, GradientError, InputError
from tinygrad_edu.graph import topological_order
from tinygrad_edu.mode import Edge, observe
from tinygrad_edu.op import Array, Op
from tinygrad_edu.ops.linalg import linear
from tinygrad_edu.strategies import arguments, is_strategy, leave_out
from tinygrad_edu.subject import Reference, Subject, parameter_names, shapes_of
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.testing import SearchReport, Story, search, shown

Rule = Callable[..., Any]


def check_derivation(
    f: Callable[..., Any],
    derivation: Callable[..., Any],
    *inputs: Any,
    examples: int | None = None,
) -> SearchReport:
    """Search for inputs at which a gradient derived by hand is not the gradient of `f`.

    Args:
        f: the function, of arrays or Tensors alike, with one element as its result.
        derivation: takes the same arguments, as arrays, and returns the gradient: an array for
            the first argument, a tuple (None for an argument that was left out), or a dict by
            parameter name.
        *inputs: for each argument a Hypothesis strategy (`values(...)`), or an example: then other
            numbers in an array of its shape are tried too, positive if all of it is, between 0
            and 1 if all of it is. Or a single strategy for tuples of arguments.
        examples: how many cases to try; by default what Hypothesis' profile says.

    Returns:
        How many cases were tried.

    Raises:
        GradientError: with the smallest case found, both numbers, and the likely cause.
        InputError: if the derivation gives no gradient, or `f` more than one element.
    """
    subject = getattr(f, "__name__", "function")

    def compare(args: Any) -> bool:
        copies = [x.copy() if isinstance(x, np.ndarray) else x for x in args]
        try:
            derived = derivation(*copies)
        except Exception as error:
            arrays = [x for x in args if isinstance(x, np.ndarray)]
            error.add_note(f"in the derivation, called with arrays {shapes_of(arrays)}")
            raise
        return _compare(f, derived, args)

    def check(case: Any) -> None:
        if not compare(case):
            leave_out()

    report = search(subject, arguments(inputs), check, examples, story=_where_it_differs)
    if not any(map(is_strategy, inputs)):
        try:
            compare(tuple(plain(x) for x in inputs))
        except WrongGradient as wrong:
            story = _where_it_differs(wrong, [])
            raise wrong.explained(story.cause, story.hints) from None
    return report


def _compare(f: Callable[..., Any], derived: Any, inputs: Sequence[Any]) -> bool:
    """Compare with the engine; where they differ, difference quotients decide who is right.

    Returns:
        Whether it could be done: not at a kink, nor where `f` is not finite.
    """
    subject = Subject(f, inputs)
    outputs = subject.values(subject.exact)
    if len(outputs) > 1 or outputs[0].size != 1:
        raise InputError(f"{subject.title}: must return one element, got {shapes_of(outputs)}")
    if not np.isfinite(outputs[0]).all():
        return False
    ws = [np.ones(outputs[0].shape)]
    reference = Reference(subject, ws, outputs)
    claims = zip(_by_argument(derived, subject), subject.gradients(subject.exact, ws), strict=True)
    for argument, (found, engine) in enumerate(claims):
        if found is None:
            continue
        if found.shape != engine.shape:
            raise GradientError(_wrong_shape(subject, argument, found, engine))
        off = np.nan_to_num(np.abs(found - engine), nan=np.inf).ravel()
        for i in map(int, np.argsort(-off, kind="stable")[:3]):
            if off[i] <= 1e-9 * np.abs(engine).max():
                break
            q = reference.at(argument, i, float(found.flat[i]))
            if not q.smooth:
                return False
            if not q.accepts(found.flat[i]):
                raise WrongGradient(reference, argument, i, found, {i: q}, "derivation", engine)
            if not q.accepts(engine.flat[i]):
                raise WrongGradient(reference, argument, i, engine, {i: q})
    return True


def _by_argument(derived: Any, subject: Subject) -> list[Array | None]:
    """What was derived for each float input."""
    names = parameter_names(subject.f, [None] * len(subject.inputs))
    names = [names[i] for i in subject.positions]
    if isinstance(derived, Mapping):
        parts = [derived.get(name) for name in names]
        fits = set(derived) <= set(names)
    else:
        parts = list(derived) if isinstance(derived, (tuple, list)) else [derived]
        if len(parts) == len(subject.inputs):
            parts = [parts[i] for i in subject.positions]
        fits = len(parts) == len(names) or not isinstance(derived, (tuple, list))
    if not fits:
        given = sorted(derived) if isinstance(derived, Mapping) else len(derived)
        raise InputError(
            f"{subject.title}: expected gradients by {names}, one per float argument, got {given}"
        )
    if all(part is None for part in parts):
        raise InputError(
            f"{subject.title}: the derivation gave no gradient; return one for at least one of "
            f"{names}, as in return {{{names[0]!r}: ...}}"
        )
    parts += [None] * (len(names) - len(parts))
    return [None if part is None else np.asarray(plain(part), np.float64) for part in parts]


def _wrong_shape(subject: Subject, argument: int, found: Array, engine: Array) -> str:
    """What to say, and which sum is missing, if one is."""
    name = subject.names[argument]
    text = (
        f"{subject.title}: expected a derivation of argument {name!r} of shape {engine.shape}, got "
        f"{found.shape}"
    )
    for axis in range(found.ndim):
        summed = found.sum(axis=axis)
        if summed.shape == engine.shape and np.allclose(summed, engine):
            return (
                f"{text}\n  likely cause: missing sum over axis {axis}: {name!r} was used "
                f"{found.shape[axis]} times, once for each index there, and the shares add up"
            )
    if found.T.shape == engine.shape and np.allclose(found.T, engine):
        return f"{text}\n  likely cause: transposed"
    if engine.shape == found.T.shape:
        return f"{text}, not that of {name}.T"
    return text


# -- which mistake gives these numbers ---------------------------------------------------------


def _where_it_differs(error: AutogradError, others: Sequence[WrongGradient]) -> Story:
    """What the derivation does differently from the chain rule, if one difference explains all."""
    if not isinstance(error, WrongGradient):
        return Story()
    story = Story(common_cause([wrong.cause() for wrong in (*others, error)]))
    if error.engine is None:
        return story
    others = sorted(others, key=lambda wrong: -np.count_nonzero(wrong.gradient))[:6]
    chains = [_Chain(wrong) for wrong in (*others, error)]
    texts = list(dict.fromkeys(chains[0].explanations()))
    for chain in chains[1:]:
        also = set(chain.explanations())
        texts = [text for text in texts if text in also]
    vague = story.cause in (NO_PATTERN, UNKNOWN, NOT_COMMON)
    # Any two numbers have a ratio, and it may be a simple one by chance.
    if texts and (vague or error.gradient.size == 1):
        return Story(texts[0])
    if texts:
        return Story(story.cause, [f"where: {texts[0]}"])
    return Story(story.cause, chains[-1].steps() if vague else [])


class _Chain:
    """The engine's chain rule for one case, to be run with a mistake in it."""

    def __init__(self, wrong: WrongGradient) -> None:
        subject = wrong.reference.subject
        self.derived, self.name = wrong.gradient, wrong.name
        self.names = subject.names
        self.tensors = [
            Tensor(x, requires_grad=True, name=name)
            for x, name in zip(subject.exact, subject.names, strict=True)
        ]
        self.target = self.tensors[wrong.argument]
        result = subject(*self.tensors)
        self.result = result if isinstance(result, Tensor) else Tensor(result)  # a cut graph
        self.nodes: list[Any] = topological_order([self.result])

    def gradient(self) -> dict[Any, Array]:
        """As the rules of the nodes say now."""
        seeds = {self.result: np.ones(self.result.shape)}
        return backpropagate(seeds, self.tensors, retain_graph=True)

    def is_derived(self, gradient: Any) -> bool:
        """Whether these are the derived numbers."""
        return np.shape(gradient) == self.derived.shape and bool(
            np.allclose(gradient, self.derived, rtol=1e-7, atol=1e-12)
        )

    def explanations(self) -> Iterator[str]:
        """The mistakes that give the derived numbers, likely ones first."""
        right = self.gradient()
        for number, node in enumerate(self.nodes):
            op = node._op
            for text, position, rule in _mistakes(node, self.label(number)):
                vjps = [rule if i == position else vjp for i, vjp in enumerate(op.vjps)]
                node._op = replaced_rules(op, vjps)
                try:
                    found = self.gradient().get(self.target)
                except (AutogradError, ValueError, TypeError, IndexError):  # it does not fit
                    found = None
                finally:
                    node._op = op
                if found is not None and self.is_derived(found):
                    yield text
        yield from self.of_the_whole(right)

    def of_the_whole(self, right: Mapping[Any, Array]) -> Iterator[str]:
        """Mistakes that are not in one local gradient."""
        for name, tensor in zip(self.names, self.tensors, strict=True):
            if tensor is not self.target and self.is_derived(right.get(tensor)):
                yield f"this is the gradient by {name!r}, not by {self.name!r}"
        ways = self.ways()
        for count in range(1, len(ways)):
            for some in combinations(range(len(ways)), count):
                if self.is_derived(sum(ways[i][1] for i in some)):
                    missing = [ways[i][0] for i in range(len(ways)) if i not in some]
                    yield (
                        f"{self.name!r} is used {len(ways)} times, and the shares add up; missing "
                        f"is the one through {' and '.join(missing)}"
                    )
        engine = right.get(self.target, np.zeros_like(self.derived))
        for axis in range(engine.ndim):
            for by in (1, -1):
                away, here = np.roll(engine, by, axis), slice(1, None) if by > 0 else slice(-1)
                inside = (slice(None),) * axis + (here,)  # at the end there may be anything
                long = engine.shape[axis] > 2 and np.any(engine - away)
                if long and np.allclose(self.derived[inside], away[inside], 1e-7, 1e-12):
                    yield f"the right numbers, but shifted by one place along axis {axis}"

    def ways(self) -> list[tuple[str, Array]]:
        """What reaches the argument through each use of it."""
        found: list[tuple[str, Array]] = []

        def watch(edge: Edge) -> None:
            if edge.input is self.target:
                found.append((f"{edge.op} (as {edge.argument!r})", edge.contribution))

        with observe(watch):
            self.gradient()
        return found if len(found) <= 6 else []

    def label(self, number: int) -> str:
        """What to call a node."""
        name = str(self.nodes[number]._op.name)
        same = [i for i, node in enumerate(self.nodes) if node._op.name == name]
        return name if len(same) == 1 else f"{name} {same.index(number) + 1} of {len(same)}"

    def steps(self) -> list[str]:
        """The chain rule in numbers, for comparing with the derivation line by line."""
        lines: list[str] = []

        def watch(edge: Edge) -> None:
            if np.size(edge.contribution) <= 12:
                name = getattr(edge.input, "name", None)
                to = f"{edge.argument!r}" + (f" ({name})" if name else "")
                lines.append(f"  through {edge.op} to its {to}: {shown(edge.contribution)}")

        with observe(watch):
            seeds = {self.result: np.ones(self.result.shape)}
            backpropagate(seeds, [self.target], retain_graph=True)
        head = "the engine's chain rule in the smallest case, from the result to the inputs:"
        return [head, *lines] if 0 < len(lines) <= 12 else []


def _mistakes(node: Any, label: str) -> Iterator[tuple[str, int, Rule]]:
    """Wrong local gradients of one node: what it is, for which argument, the rule."""
    op: Op = node._op
    values, out, options = node._values, node._array, node._options
    if op.variadic or isinstance(out, (tuple, list)):
        return
    for i, vjp in enumerate(op.vjps):
        if vjp is None or not isinstance(node._inputs[i], Tensor) or type(values[i]) is tuple:
            continue  # no argument, or all results of an op with several
        if values[i].shape == out.shape:
            yield from _wrong_place(op, i, vjp, label)
        if op.function in (np.matmul, np.dot, linear) and i < 2:
            yield from _wrong_products(node, i, label)
        if isinstance(options.get("axis"), int):
            yield from _wrong_axes(op, i, vjp, options["axis"], out.ndim, label)
        yield from _wrong_sums(op, i, vjp, values[i], label)


def _wrong_place(op: Op, i: int, vjp: Rule, label: str) -> Iterator[tuple[str, int, Rule]]:
    """A local gradient left out, or taken at z where a belongs, or the other way round."""
    yield (
        f"the local gradient of {label} by {op.argument(i)!r} is left out",
        i,
        lambda g, *_, **__: g,
    )

    def at_input(g: Any, out: Any, *inputs: Any, **options: Any) -> Any:
        return vjp(g, inputs[i], *inputs, **options)

    def at_result(g: Any, out: Any, *inputs: Any, **options: Any) -> Any:
        again = tuple(out if k == i else x for k, x in enumerate(inputs))
        return vjp(g, op.forward(*again, **options), *again, **options)

    text = f"the local gradient of {label} is taken with"
    yield f"{text} its input z where its result a = {op.name}(z) belongs", i, at_input
    yield f"{text} its result a = {op.name}(z) where its input z belongs", i, at_result


def _wrong_products(node: Any, i: int, label: str) -> Iterator[tuple[str, int, Rule]]:
    """Products of matrices in the wrong order, or not transposed."""
    if any(x.ndim != 2 for x in node._values[:2]):
        return
    names = [
        getattr(source, "name", None) or node._op.argument(k)
        for k, source in enumerate(node._inputs[:2])
    ]
    other = names[1 - i]
    if node._options.get("transposed"):  # x @ W.T
        right = f"g @ {other}" if i == 0 else f"g.T @ {other}"
    else:
        right = f"g @ {other}.T" if i == 0 else f"{other}.T @ g"
    for swapped in (False, True):
        for a_turned in (False, True):
            for b_turned in (False, True):
                first, second = ("g", other) if (i == 0) != swapped else (other, "g")
                text = first + ".T" * a_turned + " @ " + second + ".T" * b_turned
                if text == right:
                    continue

                def rule(
                    g: Any, out: Any, *inputs: Any, s: Any = (swapped, a_turned, b_turned), **_: Any
                ) -> Any:
                    pair = (g, inputs[1 - i]) if (i == 0) != s[0] else (inputs[1 - i], g)
                    a, b = pair
                    return (a.T if s[1] else a) @ (b.T if s[2] else b)

                where = f"in {label}, with g the gradient of its result"
                yield f"{text} where the chain rule has {right} ({where})", i, rule


def _wrong_axes(
    op: Op, i: int, vjp: Rule, axis: int, ndim: int, label: str
) -> Iterator[tuple[str, int, Rule]]:
    """Another axis than that of the forward pass."""
    for wrong in range(ndim):
        if wrong == axis % ndim:
            continue
        text = f"the local gradient of {label} is taken over axis {wrong}, where it has axis {axis}"

        def same_result(g: Any, out: Any, *inputs: Any, wrong: int = wrong, **options: Any) -> Any:
            return vjp(g, out, *inputs, **{**options, "axis": wrong})

        def other_result(g: Any, out: Any, *inputs: Any, wrong: int = wrong, **options: Any) -> Any:
            options = {**options, "axis": wrong}
            return vjp(g, op.forward(*inputs, **options), *inputs, **options)

        yield text, i, same_result
        yield text, i, other_result


def _wrong_sums(op: Op, i: int, vjp: Rule, x: Any, label: str) -> Iterator[tuple[str, int, Rule]]:
    """Shares of a broadcast argument that do not add up."""
    if not op.broadcasts:
        return

    def mean(g: Any, out: Any, *inputs: Any, **options: Any) -> Any:
        share = vjp(g, out, *inputs, **options)
        return share * (x.size / share.size)

    def first(g: Any, out: Any, *inputs: Any, **options: Any) -> Any:
        share = vjp(g, out, *inputs, **options)
        extra = share.ndim - x.ndim
        share = share[(0,) * extra]
        stretched = [slice(1) if n == 1 else slice(None) for n in x.shape]
        return share[tuple(stretched)]

    which = f"of {label} by {op.argument(i)!r}"
    yield f"the shares {which} are averaged, where they add up", i, mean
    yield f"only the first share {which} counts, where they add up", i, first

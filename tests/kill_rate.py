"""Does `check_op` notice a wrong rule? Break every rule on purpose, and count.

    python tests/kill_rate.py            all rules; writes docs/kill_rate.md
    python tests/kill_rate.py --quick    every 20th mutant, and prints only

A *mutant* is an op with one wrong rule. Some are wrong in what they return (minus, twice, 1 % off,
zeros, shifted, transposed, one slice instead of the sum), some in what they say: an edit of the
rule's source drops a term or a factor, or takes another operator, function or constant. A mutant is
*killed* if `check_op`, with the samples of the test suite, rejects it. Those that survive are
compared with the right rule, number by number; a mutant that never differs is *equivalent* (it
drops a term that is always zero, say), and is not counted.

The other way round, right rules must pass: cases are drawn with other seeds than the tests use.
"""

from __future__ import annotations

import argparse
import ast
import copy
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

import numpy as np
from samples import INTERNAL, NOT_ELEMENTWISE, SAMPLES

import tinygrad_edu
from tinygrad_edu.backward import sum_to_shape
from tinygrad_edu.diagnosis import WrongGradient
from tinygrad_edu.errors import AutogradError
from tinygrad_edu.op import REGISTRY, Op
from tinygrad_edu.strategies import draw
from tinygrad_edu.subject import several
from tinygrad_edu.testing import needs_samples, plan, shown

ROOT = Path(tinygrad_edu.__file__).parents[1]
REPORT = ROOT / "docs" / "kill_rate.md"
Rule = Callable[..., Any]


@dataclass(frozen=True)
class Mutant:
    """One wrong rule.

    Attributes:
        op: whose rule it is.
        position: of the rule among the op's.
        kind: the row of the table that it counts in.
        what: what was done, to find it again.
        rule: the wrong rule.
    """

    op: Op
    position: int
    kind: str
    what: str
    rule: Rule

    def __str__(self) -> str:
        return (
            f"{title(self.op)}, {self.op.rules[self.position].argument!r}: {self.kind}: {self.what}"
        )


def title(op: Op) -> str:
    module = getattr(op.function, "__module__", None) or "numpy"
    return f"{module.removeprefix('tinygrad_edu.ops.')}.{op.name}"


# --- what it returns --------------------------------------------------------------------------


def _scaled(factor: float) -> Callable[[Any, Any], Any]:
    return lambda share, x: factor * share


def _turned(share: Any, x: Any) -> Any:
    return np.reshape(np.transpose(share), share.shape)


def _one_slice(share: Any, x: Any) -> Any:
    """Where the engine would add up the shares of a broadcast argument, the first one alone."""
    shape = np.shape(x)
    extra = share.ndim - len(shape)
    return share[(0,) * extra + tuple(slice(n) for n in shape)]


def _averaged(share: Any, x: Any) -> Any:
    return share * (np.size(x) / share.size) if share.size else share


RETURNED: dict[str, Callable[[Any, Any], Any]] = {
    "sign": _scaled(-1.0),
    "factor 2": _scaled(2.0),
    "factor 1/2": _scaled(0.5),
    "1 % off": _scaled(1.01),
    "0.01 % off": _scaled(1.0001),
    "0.001 % off": _scaled(1.00001),
    "stopped": _scaled(0.0),
    "shifted": lambda share, x: np.roll(share, 1, axis=-1) if share.ndim else share,
    "transposed": _turned,
}
BROADCAST = {"one slice for the sum": _one_slice, "mean for the sum": _averaged}


def returned(op: Op, position: int) -> Iterator[Mutant]:
    """Right inside, wrong on the way out."""
    vjp = op.rules[position].vjp
    for kind, change in (RETURNED | (BROADCAST if op.broadcasts else {})).items():

        def rule(g: Any, out: Any, *inputs: Any, change: Any = change, **options: Any) -> Any:
            x = inputs[options.get("position", position)]
            return change(vjp(g, out, *inputs, **options), x)

        yield Mutant(op, position, kind, "result", rule)


# --- what it says -----------------------------------------------------------------------------

OTHER_FUNCTION = {
    "sin": "cos", "cos": "sin", "exp": "expm1", "exp2": "exp", "log": "log1p", "sinh": "cosh",
    "cosh": "sinh", "tanh": "sin", "sqrt": "cbrt", "sum": "mean", "mean": "sum", "max": "min",
    "min": "max", "cumsum": "cumprod", "tril": "triu", "triu": "tril", "floor": "ceil",
    "maximum": "minimum", "minimum": "maximum", "zeros_like": "ones_like",
    "ones_like": "zeros_like", "add": "subtract", "argmax": "argmin", "sign": "abs",
}  # fmt: skip
TURNING = {"T", "mT", "transpose", "swapaxes", "matrix_transpose"}


def edits(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """What a node may be replaced by: the kind of mistake, and the new node."""
    match node:
        case ast.BinOp(left, ast.Add(), right):
            yield from (("dropped term", left), ("dropped term", right))
            yield "other operator", ast.BinOp(left, ast.Sub(), right)
        case ast.BinOp(left, ast.Sub(), right):
            yield from (("dropped term", left), ("dropped term", ast.UnaryOp(ast.USub(), right)))
            yield "other operator", ast.BinOp(left, ast.Add(), right)
        case ast.BinOp(left, ast.Mult(), right):
            yield from (("dropped factor", left), ("dropped factor", right))
            yield "other operator", ast.BinOp(left, ast.Div(), right)
        case ast.BinOp(left, ast.Div(), right):
            yield "dropped factor", left
            yield "other operator", ast.BinOp(left, ast.Mult(), right)
        case ast.BinOp(left, ast.MatMult(), right):
            yield "swapped operands", ast.BinOp(right, ast.MatMult(), left)
        case ast.BinOp(left, ast.Pow(), right):
            yield "dropped factor", left
        case ast.UnaryOp(ast.USub(), operand) if not isinstance(operand, ast.Constant):
            yield "dropped minus", operand
        case ast.Compare(left, [operator], [right]):
            other = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.LtE, ast.LtE: ast.GtE,
                     ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}.get(type(operator))  # fmt: skip
            if other:
                yield "other branch", ast.Compare(left, [other()], [right])
        case ast.IfExp(_, body, orelse):
            yield from (("other branch", body), ("other branch", orelse))
        case ast.Constant(bool(value)):
            yield "other constant", ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield "other constant", ast.Constant(value + 1)
        case ast.Attribute(value, name) if name in TURNING - {"transpose", "swapaxes"}:
            yield "missing transpose", value
        case ast.Call():
            yield from _other_call(node)


def _other_call(node: ast.Call) -> Iterator[tuple[str, ast.AST | None]]:
    name = ast.unparse(node.func).rpartition(".")[2]
    if name == "safe_multiply" and len(node.args) == 2:
        yield from (("dropped factor", node.args[0]), ("dropped factor", node.args[1]))
    method = isinstance(node.func, ast.Attribute) and not ast.unparse(node.func).startswith("np.")
    if (name in TURNING or name == "sum") and (method or node.args):
        kind = "missing sum" if name == "sum" else "missing transpose"
        yield kind, node.func.value if method else node.args[0]
    if name in {"matmul", "divide", "subtract", "outer"} and len(node.args) == 2:
        yield "swapped operands", ast.Call(node.func, node.args[::-1], node.keywords)
    if name == "where" and len(node.args) == 3:
        condition, one, other = node.args
        yield "other branch", ast.Call(node.func, [condition, other, one], [])
        yield from (("other branch", one), ("other branch", other))
    if name in OTHER_FUNCTION:
        function = copy.deepcopy(node.func)
        if isinstance(function, ast.Attribute):
            function.attr = OTHER_FUNCTION[name]
            yield "other function", ast.Call(function, node.args, node.keywords)


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def _definition(function: FunctionType) -> ast.Lambda | ast.FunctionDef | None:
    """The piece of source that a function was made from; None if it cannot be told."""
    code = function.__code__
    if not code.co_filename.startswith(str(ROOT)):
        return None
    ends = [p for p in code.co_positions() if p[0] and p[2] is not None and p[1] is not None]
    found = []
    for node in ast.walk(_tree(code.co_filename)):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                found.append(node)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno:
            body = node.body
            start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
            inside = [(p[0], p[2]) for p in ends if p[3]]
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
            if (
                names == list(code.co_varnames[: len(names)])
                and all(
                    start <= place <= end
                    for place in inside
                    if place >= (node.lineno, node.col_offset)
                )
                and any(start <= place <= end for place in inside)
            ):
                found.append(node)
    return found[0] if len(found) == 1 else None


def _rebuilt(function: FunctionType, node: Any, scope: dict[str, Any]) -> FunctionType:
    """A function from changed source, in the same closure."""
    node = copy.deepcopy(node)
    node.args.defaults = [ast.Constant(None) for _ in node.args.defaults]
    node.args.kw_defaults = [d and ast.Constant(None) for d in node.args.kw_defaults]
    free = function.__code__.co_freevars
    if isinstance(node, ast.Lambda):
        body: list[ast.stmt] = [ast.Return(node)]
    else:
        node.decorator_list, node.returns = [], None
        for arg in (*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg):
            if arg:
                arg.annotation = None
        body = [node, ast.Return(ast.Name(node.name, ast.Load()))]
    arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
    factory = ast.FunctionDef("factory", arguments, body, [], None)
    module = ast.fix_missing_locations(ast.Module([factory], []))
    place: dict[str, Any] = {}
    exec(compile(module, "<mutant>", "exec"), scope, place)
    new = place["factory"](*(cell.cell_contents for cell in function.__closure__ or ()))
    new.__defaults__, new.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return new


def _helpers(function: FunctionType) -> dict[str, FunctionType]:
    """The private functions of its module that a rule is made of, by name."""
    found: dict[str, FunctionType] = {}
    stack = [function]
    while stack:
        code = stack.pop().__code__
        for name in code.co_names:
            helper = function.__globals__.get(name)
            ours = isinstance(helper, FunctionType) and helper.__globals__ is function.__globals__
            if ours and name.startswith("_") and name not in found:
                found[name] = helper
                stack.append(helper)
    return found


def _with_helper(function: FunctionType, name: str, helper: Any, scope: dict[str, Any]) -> Any:
    """The rule, in a module where one helper is another one."""
    for key, value in _helpers(function).items():
        scope[key] = FunctionType(value.__code__, scope, key, value.__defaults__, value.__closure__)
        scope[key].__kwdefaults__ = value.__kwdefaults__
    scope[name] = helper
    new = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def written(op: Op, position: int) -> Iterator[Mutant]:
    """One edit of the rule's source, or of a helper's."""
    vjp = op.rules[position].vjp
    if not isinstance(vjp, FunctionType):
        return
    inner = [cell.cell_contents for cell in vjp.__closure__ or () if _is_filled(cell)]
    closed = [f for f in inner if isinstance(f, FunctionType)]
    for function in (vjp, *_helpers(vjp).values(), *closed):
        definition = _definition(function)
        if definition is None:
            continue
        for kind, text, changed in _edited(definition):
            scope = dict(function.__globals__)
            try:
                new = _rebuilt(function, changed, scope)
            except (SyntaxError, ValueError, TypeError, NameError):
                continue
            if function is vjp:
                rule: Any = new
            elif function in closed:
                rule = _with_cell(vjp, function, new)
            else:
                rule = _with_helper(vjp, function.__name__, new, scope)
            yield Mutant(op, position, kind, f"{function.__name__}: {text}", rule)


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _with_cell(function: FunctionType, old: Any, new: Any) -> FunctionType:
    cells = tuple(
        CellType(new) if cell.cell_contents is old else cell for cell in function.__closure__ or ()
    )
    made = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _edited(definition: Any) -> Iterator[tuple[str, str, Any]]:
    """All single edits of a function's body: kind, what, and the changed definition."""
    body = [definition.body] if isinstance(definition, ast.Lambda) else definition.body
    places = [node for statement in body for node in ast.walk(statement)]
    for number, place in enumerate(places):
        for kind, new in edits(place):
            if isinstance(new, ast.expr):
                changed = _Replacer(definition, number, new).result
                yield kind, f"{ast.unparse(place)} -> {ast.unparse(new)}", changed


class _Replacer(ast.NodeTransformer):
    """A copy of a definition in which one node is another one."""

    def __init__(self, definition: Any, number: int, new: ast.expr) -> None:
        self.result = copy.deepcopy(definition)
        body = self.result.body
        places = [n for s in (body if isinstance(body, list) else [body]) for n in ast.walk(s)]
        self.old, self.new = places[number], copy.deepcopy(new)
        self.result = self.visit(self.result)

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else super().visit(node)


# --- the count --------------------------------------------------------------------------------


def ways(op: Op) -> Iterator[Any]:
    """As in tests/test_every_op.py: from the domain where it tells, from every sample."""
    if not needs_samples(op) and op.function not in NOT_ELEMENTWISE:
        yield None
    for sample in SAMPLES.get(op.function, []):
        yield [sample]


def mutants() -> list[Mutant]:
    """Of every rule in the registry."""
    found = []
    for op in list(REGISTRY.values()):
        if op.function not in INTERNAL and any(True for _ in ways(op)):
            for position, rule in enumerate(op.rules):
                if rule is not None:
                    found += [*returned(op, position), *written(op, position)]
    return found


def killed(mutant: Mutant) -> bool:
    """Whether `check_op` rejects it."""
    op, right = mutant.op, mutant.op.vjps
    wrong = tuple(mutant.rule if i == mutant.position else vjp for i, vjp in enumerate(right))
    object.__setattr__(op, "vjps", wrong)
    try:
        with np.errstate(all="ignore"):
            for samples in ways(op):
                _, _, cases, check = plan(op, samples)
                draw(check, cases, 5 if samples else DRAWN, shrink=False)
    except Exception:  # whatever a broken rule raises, it was noticed
        return True
    finally:
        object.__setattr__(op, "vjps", right)
    return False


DRAWN = 100  # what `check_op` tries by default: Hypothesis' own number


class Different(Exception):
    """A mutant's numbers are not those of the right rule."""


def equivalent(mutant: Mutant) -> bool:
    """Whether a mutant's numbers are always those of the right rule."""
    op, right = mutant.op, mutant.op.rules[mutant.position].vjp

    def compare(case: Any) -> None:
        inputs, options = op.bind(*case[0], **case[1])
        out = op.forward(*inputs, **options)
        rng = np.random.default_rng(0)
        g = [rng.normal(size=np.shape(y)) for y in several(out)]
        for i, x in enumerate(inputs):
            if (i == mutant.position or op.variadic) and getattr(x, "dtype", bool) in FLOATS:
                more = options | ({"position": i} if op.variadic else {})
                cotangent = tuple(g) if isinstance(out, (tuple, list)) else g[0]
                one, other = (
                    fitted(np.asarray(rule(cotangent, out, *inputs, **more)), x)
                    for rule in (right, mutant.rule)
                )
                atol = 1e-9 * np.abs(one).max(initial=0)
                if one.shape != other.shape or not np.allclose(one, other, 1e-9, atol, True):
                    raise Different

    def fitted(share: Any, x: Any) -> Any:
        if share.shape != x.shape and op.broadcasts:
            share = sum_to_shape(share, x.shape)
        return np.asarray(share)

    try:
        with np.errstate(all="ignore"):
            for samples in ways(op):
                draw(compare, plan(op, samples)[2], 10 if samples else 100, shrink=False, start=1)
    except Exception:  # it differs, or cannot be called
        return False
    return True


FLOATS = (np.float64, np.float32)


def verdict(number: int) -> tuple[int, str]:
    """What became of a mutant."""
    mutant = _MUTANTS[number]
    if equivalent(mutant):
        return number, "equivalent"
    return number, "killed" if killed(mutant) else "survived"


def false_alarms(number: int) -> tuple[str, int, str]:
    """Right rules: the op, the number of cases, what was said against it."""
    op, seed, examples = _RIGHT[number]
    drawn: list[Any] = []
    for samples in ways(op):
        _, _, strategy, check = plan(op, samples, seed)

        def note(case: Any) -> None:
            drawn.append(case)
            check(case)  # noqa: B023  # runs here and now

        try:
            with np.errstate(all="ignore"):
                draw(note, strategy, examples, shrink=False, start=seed)
        except AutogradError as error:
            text = error.explained() if isinstance(error, WrongGradient) else error
            return title(op), len(drawn), f"{text}\n{shown(drawn[-1])}"
    return title(op), len(drawn), ""


_MUTANTS: list[Mutant] = []
_RIGHT: list[tuple[Op, int, int]] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every 20th mutant; writes nothing")
    parser.add_argument("--every", type=int, default=1, help="every nth mutant; says so")
    parser.add_argument("--only", default="", help="ops whose name contains this; writes nothing")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cases", type=int, default=12_000, help="to look for false alarms")
    options = parser.parse_args()
    started = time.perf_counter()
    everything = [m for m in mutants() if options.only in title(m.op)]
    _MUTANTS[:] = everything[:: 20 if options.quick else options.every]
    right = [op for op in REGISTRY.values() if op.rules or op.composed]
    right = [op for op in right if op.function not in INTERNAL and options.only in title(op)]
    right = [op for op in right if any(True for _ in ways(op))]
    cases = options.cases // 20 if options.quick or options.only else options.cases
    each = cases // (4 * sum(len(list(ways(op))) for op in right) or 1) + 1
    _RIGHT[:] = [(op, 1000 + round_, each) for round_ in range(4) for op in right]
    context = multiprocessing.get_context("fork")
    results: dict[int, str] = {}
    alarms: list[tuple[str, str]] = []
    drawn = 0
    with context.Pool(options.jobs) as pool:
        for number, word in pool.imap_unordered(verdict, range(len(_MUTANTS)), chunksize=8):
            results[number] = word
            _progress("mutants", len(results), len(_MUTANTS))
        for done, (name, count, text) in enumerate(
            pool.imap_unordered(false_alarms, range(len(_RIGHT)), chunksize=4), 1
        ):
            drawn += count
            alarms += [(name, text)] if text else []
            _progress("right rules", done, len(_RIGHT))
    seconds = time.perf_counter() - started
    text = table(results, alarms, drawn, len(right), len(everything))
    print(f"{seconds:.0f} s", file=sys.stderr)
    print(text)
    if not (options.quick or options.only):
        REPORT.write_text(text, encoding="utf-8")


def _progress(what: str, done: int, of: int) -> None:
    if sys.stderr.isatty() or done % 500 == 0 or done == of:
        end = "\n" if done == of or not sys.stderr.isatty() else "\r"
        print(f"{what}: {done} of {of}", end=end, file=sys.stderr, flush=True)


def table(
    results: dict[int, str], alarms: list[tuple[str, str]], drawn: int, ops: int, everything: int
) -> str:
    """The report, in Markdown."""
    found = {mutant.kind for mutant in _MUTANTS}
    kinds = [kind for kind in (*RETURNED, *BROADCAST) if kind in found]
    kinds += sorted(found - set(kinds))
    rows = []
    for kind in [*kinds, "all"]:
        words = [word for i, word in results.items() if kind in ("all", _MUTANTS[i].kind)]
        dead, same = words.count("killed"), words.count("equivalent")
        counted = len(words) - same
        rate = f"{100 * dead / counted:.1f} %" if counted else ""
        rows.append(f"| {kind} | {dead} | {counted} | {rate} | {same} |")
    survivors = [str(_MUTANTS[i]) for i, word in sorted(results.items()) if word == "survived"]
    lines = [
        "# Does the checker notice?",
        "",
        "Written by `make kill-rate` (`tests/kill_rate.py`), which breaks every rule in the",
        "registry on purpose and asks `check_op`, with the samples of the test suite, whether it",
        "is right. A mutant whose numbers never differ from the right rule's over many inputs is",
        "equivalent, and not counted.",
        "",
        "| mutation | killed | of | rate | equivalent |",
        "| --- | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"Broken: {len(results):,} of {everything:,} mutants"
        + (", evenly chosen." if len(results) < everything else "."),
        "",
        f"Right rules, {ops} ops, other seeds: **false alarms: {len(alarms)} of {drawn:,} cases**.",
        "",
        f"## Survivors: {len(survivors)}",
        "",
        *(f"- `{line}`{reason(line)}" for line in survivors),
        *(f"\nFalse alarm in {name}:\n\n```\n{text}\n```" for name, text in alarms),
    ]
    return "\n".join(lines).rstrip() + "\n"


# Why a mutant is not noticed although its numbers differ somewhere: by a part of its name.
REASONS = {
    "_sinc_slope: 0.25 -> 1.25": "the series then serves up to 1.25, where it is off by 1e-7",
}


def reason(line: str) -> str:
    return next((f": {text}" for part, text in REASONS.items() if part in line), "")


if __name__ == "__main__":
    main()

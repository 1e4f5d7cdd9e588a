"""What `tinygrad-edu train`, `ops`, `check` and `trace` do; `cli.py` reads their arguments."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import runpy
import signal
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import tinygrad_edu as tg
from tinygrad_edu import coverage, reference, user_file
from tinygrad_edu.errors import AutogradError, GradientError, InputError
from tinygrad_edu.op import REGISTRY, Op
from tinygrad_edu.ops.special import register_scipy

DONE, FAULT, WRONG_USE = 0, 1, 2  # the exit statuses
WIDTH = 80
_EXTRAS = {  # package -> the extra of tinygrad-edu that brings it
    "hypothesis": "check",
    "matplotlib": "plot",
    "pooch": "data",
    "rich": "progress",
    "safetensors": "weights",
    "scipy": "special",
}


# -- ops ---------------------------------------------------------------------------------------


def ops(name: str | None, missing: bool) -> int:
    """Show the coverage table, what is missing, or one op."""
    if name is not None:
        return _one_op(name)
    if missing:
        for family, names in coverage.by_family():
            if lacking := [_starred(one) for one in names if not one.functions]:
                _say(f"{family}: {', '.join(lacking)}")
        print("\n* essential")
        return DONE
    rows = [
        (family, _part(names), _part([one for one in names if one.essential]))
        for family, names in coverage.by_family()
    ]
    everything = coverage.union()
    essential = [one for one in everything if one.essential]
    _table(
        ("Functions with a gradient", "here", "essential"),
        [*rows, ("All", _part(everything), _part(essential))],
    )
    _say(
        "Counted against all that HIPS/autograd, MyGrad, micrograd, tinygrad, minitorch, DeZero, "
        "needle, Chainer and JAX differentiate. What is missing: tinygrad-edu ops --missing. One "
        "function, its gradient, whether it is supported: tinygrad-edu ops np.tanh."
        + _without_scipy()
    )
    return DONE


def _without_scipy() -> str:
    """What to add where SciPy is missing."""
    try:
        register_scipy()
    except ImportError:
        return (
            " Those of scipy.special count where SciPy is installed: "
            "pip install 'tinygrad-edu[special]'."
        )
    return ""


def _part(names: Sequence[coverage.Name]) -> str:
    return f"{sum(bool(one.functions) for one in names)} of {len(names)}" if names else "-"


def _starred(one: coverage.Name) -> str:
    return f"{one.name}*" if one.essential else one.name


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, the last row being the sum."""
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows[:-1], ["-" * width for width in widths], rows[-1]):
            first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("  ".join([first, *(cell.strip().rjust(len(cell)) for cell in others)]))
        print()
        return
    table = Table(*header, box=SIMPLE_HEAD, pad_edge=False, safe_box=True)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows[:-1]:
        table.add_row(*row)
    table.add_section()
    table.add_row(*rows[-1], style="bold")
    Console(width=WIDTH).print(table)


def _one_op(name: str) -> int:
    found = reference.find(name)
    known = {one.name: one.functions for one in coverage.union()}
    if not found and known.get(name):
        _say(f"{name} is reached as {', '.join(known[name])}:\n")
        found = [REGISTRY[coverage.resolve(path)] for path in known[name]]
    for op in found:
        _show(op)
    if found:
        if any(op.rules for op in found):
            _say("g is the gradient that arrives at the result, out. Zero times anything is zero.")
        return DONE
    name = reference.shortened(name)
    for path in (f"np.{name}", f"np.linalg.{name}") if "." not in name else (name,):
        if callable(coverage.resolve(path)) and not path.startswith("tg."):
            _say(
                f"{path}: has no gradient. On a Tensor that needs one it is refused at the call. "
                "Write it with functions that have one, register a rule (docs/adding_an_op.md), "
                "or compute with t.detach().data, outside the graph."
            )
            return FAULT
    if name in known:
        _say(f"{name}: has no gradient here; other engines have one.{_without_scipy()}")
        return FAULT
    names = [*map(reference.public_name, REGISTRY), *known]
    names += [one.rpartition(".")[2] for one in names]
    near = list(dict.fromkeys(difflib.get_close_matches(name, names, 3)))
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InputError(f"ops: there is no function {name!r}{hint}")


def _show(op: Op) -> None:
    if not op.rules and not op.composed:
        name = reference.public_name(op.function)
        _say(f"{name}: works on Tensors; its result needs no gradient")
        return
    one = reference.entry(op, longest=400)
    print(one.signature)
    rows = [("also", ", ".join(one.others))]
    for name, text in one.gradients:
        rows.append((f"to {name}", "no single short formula" if text == "..." else text))
    if op.composed:
        made = "" if one.forward == "..." else f": {one.forward}"
        rows.append(("", f"made of other ops{made}"))
    rows += [("for", one.example), ("where", "; ".join(one.notes))]
    rows += [("source", source) for source in one.sources]
    rows.append(("written in", f"tinygrad_edu/ops/{one.module}.py" if one.module else ""))
    for title, text in rows:
        if text:
            _say(text, f"  {title:<12}")
    print()


def _say(text: str, title: str = "") -> None:
    """Print a paragraph, in letters that every console has."""
    text = text.replace("∞", "inf").replace("½", "1/2")
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    margin = " " * len(title)
    wrapped = textwrap.TextWrapper(
        WIDTH, initial_indent=title, subsequent_indent=margin, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    print("\n".join(wrapped.fill(line) if line else "" for line in text.split("\n")))


# -- check -------------------------------------------------------------------------------------


def check(target: str, examples: int | None) -> int:
    """Search the domains of a module's ops for wrong gradients."""
    try:
        check_op = tg.check_op
    except ImportError as error:
        raise InputError(str(error)) from None
    before = set(REGISTRY)
    module, name = user_file.load(target)
    own = [
        op
        for function, op in REGISTRY.items()
        if function not in before or getattr(function, "__module__", None) == module.__name__
        if not reference.module_of(op).startswith("tinygrad_edu.")
    ]
    if name:
        own = [op for op in own if name in (op.name, getattr(op.function, "__name__", ""))]
        function = getattr(module, name, None)
        if not own and callable(function) and function in REGISTRY:
            own = [REGISTRY[function]]
    if not own:
        what = f"no op {name!r}" if name else "no ops"
        raise InputError(
            f"check: {module.__name__} registers {what}; an op is made by @tg.op(tg.wrt(...)) or "
            "tg.register(...), see docs/adding_an_op.md"
        )
    samples = _samples(module)
    found = {_check(partial(check_op, examples=examples), op, samples) for op in own}
    return FAULT if FAULT in found else max(found)


def _samples(module: ModuleType) -> dict[str, Any]:
    """How a module's ops are called, by name: its `SAMPLES`, whose keys are ops or names."""
    found = getattr(module, "SAMPLES", {})
    if not isinstance(found, Mapping):
        raise InputError(
            f"check: SAMPLES in {module.__name__} must be a dict of op: [(args, options), ...], "
            f"got {type(found).__name__}"
        )
    return {str(getattr(key, "__name__", getattr(key, "name", key))): v for key, v in found.items()}


def _check(check_op: Callable[..., Any], op: Op, samples: Mapping[str, Any]) -> int:
    if not op.rules and not op.composed:
        print(f"{'-':<8}{op.name}: has no rules, so its result needs no gradient")
        return DONE
    given = samples.get(op.name, samples.get(getattr(op.function, "__name__", "")))
    try:
        report = check_op(op, given)
    except GradientError as error:
        print(f"{'FAILED':<8}{textwrap.indent(str(error), ' ' * 8).strip()}")
        return FAULT
    except InputError as error:
        if given is not None:
            print(f"{'FAILED':<8}{textwrap.indent(str(error), ' ' * 8).strip()}")
            return FAULT
        _say(
            f"{op.name} needs samples, since its rules do not tell how to call it. Add to the "
            f"module, for instance: SAMPLES = {{{op.name}: [((np.ones((2, 3)),), {{'axis': 0}})]}}",
            f"{'?':<8}",
        )
        return WRONG_USE
    except Exception as error:
        print(f"{'FAILED':<8}{op.name}: {type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            print(f"{'':<8}{note}")
        return FAULT
    print(f"{'ok':<8}{report}")
    return DONE


# -- trace -------------------------------------------------------------------------------------


def trace(target: str, shapes: Sequence[str]) -> int:
    """Print the program of a function's forward and backward pass."""
    module, name = user_file.load(target)
    function = getattr(module, name, None) if name else None
    if not inspect.isfunction(function):
        head = target.removesuffix(f":{name}") if name else target
        own = [f"{head}:{function}" for function in user_file.functions(module)]
        raise InputError(f"trace: name a function of {head}: {', '.join(own) or 'it has none'}")
    examples = user_file.examples("trace", function, module, shapes)
    try:
        program = tg.trace(function, *examples)
    except AutogradError:
        raise
    except Exception as error:
        raise InputError(f"trace: {name} fails:\n{user_file.own_lines(error)}") from None
    lines = ["import numpy as np"]
    if re.search(r"\btg\.", program.source):
        lines.append("import tinygrad_edu as tg")
    arrays = {key: value for key, value in program.constants.items() if not callable(value)}
    functions = {key: value for key, value in program.constants.items() if callable(value)}
    lines += [_import(key, value, module) for key, value in functions.items()]
    lines += [_definition(key, value) for key, value in arrays.items()]
    print("\n".join([*lines, "", "", program.source]))
    return DONE


def _import(name: str, function: Any, module: ModuleType) -> str:
    """The line that imports a function that a program calls."""
    for place in (module.__name__, getattr(function, "__module__", None) or "", "scipy.special"):
        if getattr(sys.modules.get(place), name, None) is function:
            return f"from {place} import {name}"
    raise InputError(f"trace: the program calls {name}, which {module.__name__} does not define")


def _definition(name: str, array: Any) -> str:
    """The line that defines an array that a program uses."""
    if array.size > 1000:
        raise InputError(
            f"trace: the function uses an array of shape {array.shape} that is no argument of it; "
            "make it one, so that the program need not contain its numbers"
        )
    numbers = re.sub(r"\b(inf|nan)\b", r"np.\1", repr(array.tolist()))
    shaped = "" if array.size else f".reshape({array.shape})"  # [] may be (0, 3)
    return f"{name} = np.array({numbers}, dtype=np.{array.dtype.name}){shaped}"


# -- train -------------------------------------------------------------------------------------


def train(name: str | None, out: Path) -> int:
    """Run an example as a script that writes its picture into `out`; without a name, list all."""
    examples = {file.stem: file for file in sorted(_examples().glob("[0-9][0-9]_*.py"))}
    if name is None:
        for stem, file in examples.items():
            idea = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            _say(idea.partition("\n")[0], f"{stem:<28}")
        return DONE
    stem = _chosen(name, list(examples))
    sys.argv = [str(examples[stem]), str(out)]
    before = signal.signal(signal.SIGINT, _stop)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except ImportError as error:  # the figure is printed then; what fails is most often the picture
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise InputError(
            f"train: {stem} needs {error.name} to go on: pip install 'tinygrad-edu[{extra}]'"
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return DONE


def _chosen(name: str, stems: Sequence[str]) -> str:
    """Which example is meant: "09_digits.py", "09_digits", "digits", "09" or "9"."""
    wanted = Path(name).stem.lower()
    wanted = wanted.zfill(2) if wanted.isdecimal() else wanted
    for stem in stems:
        if wanted in (stem, stem[3:], stem[:2]):
            return stem
    near = difflib.get_close_matches(wanted, [*stems, *(stem[3:] for stem in stems)], 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "tinygrad-edu train lists them"
    raise InputError(f"train: there is no example {name!r}; {hint}")


def _stop(*_: object) -> NoReturn:
    """Answer Ctrl-C: end the example; `nn.fit` would end one training, and the next would begin."""
    print("\ntinygrad-edu: stopped", file=sys.stderr)
    raise SystemExit(130)


def _examples() -> Path:
    """The folder of the examples, which belong to the source, not to what pip installs."""
    folders = (Path(__file__).parents[1] / "examples", Path("examples").absolute())
    for folder in folders:
        if (folder / "run_all.py").is_file():
            return folder
    raise InputError(
        f"train: there are no examples in {' or '.join(map(str, folders))}: pip does not install "
        "them; get the source of tinygrad-edu, and run this in its folder"
    )

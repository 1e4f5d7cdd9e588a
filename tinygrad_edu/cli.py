"""The command line: `tinygrad-edu demo`, `train`, `ops`, `check`, `trace`, `draw`, `explain`."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tinygrad_edu import AutogradError, __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 it found a fault, 2 wrong use."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if "run" not in arguments:
        parser.print_help()
        return 0
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # here, so that a closed pipe is noticed inside the `try`
        return status
    except KeyboardInterrupt:
        print("\ntinygrad-edu: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough: `tinygrad-edu demo | head`
        # Python flushes stdout once more at exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except AutogradError as error:  # a damaged data file, a module without ops
        print(f"tinygrad-edu: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        print(f"tinygrad-edu: error: {where}{error.strerror or error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-edu",
        description="An autograd engine on NumPy, small enough to read in an afternoon.",
    )
    parser.add_argument("--version", action="version", version=f"tinygrad-edu {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_demo, _add_train, _add_ops, _add_check, _add_trace, _add_draw, _add_explain):
        add(commands)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train a network on real digits, check its gradients, draw its graph",
        description="Train a network, written in primitive ops, on handwritten digits; compare its "
        "gradients with a derivation by hand and with central differences; draw the graph of one "
        "step and the learning curves.",
    )
    demo.add_argument(
        "--seed",
        type=partial(_whole_number, least=0),
        default=0,
        metavar="N",
        help="of the first weights and of the order of the digits (default: %(default)s)",
    )
    demo.add_argument(
        "--epochs",
        type=partial(_whole_number, least=1),
        default=40,
        metavar="N",
        help="how often every digit is seen (default: %(default)s)",
    )
    demo.add_argument(
        "--out",
        type=_folder,
        default=Path("demo-output"),
        metavar="DIR",
        help="folder for the pictures, made if needed (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="run an example: a network that learns, its figure, its picture",
        description="Run one of the numbered examples. Without a NAME: list them.",
    )
    train.add_argument("name", nargs="?", metavar="NAME", help="digits, 09_digits or 9")
    train.add_argument(
        "--out",
        type=_folder,
        default=Path("examples-output"),
        metavar="DIR",
        help="folder for the picture, made if needed (default: %(default)s)",
    )
    train.set_defaults(run=_train)


def _add_ops(commands: Any) -> None:
    ops = commands.add_parser(
        "ops",
        help="what has a gradient here: all of it, what is missing, or one function",
        description="How much of what other engines differentiate has a gradient here. With a NAME "
        "(np.tanh, linalg.inv, relu): its gradient rule as a formula, or that it has none.",
    )
    ops.add_argument("name", nargs="?", metavar="NAME", help="a function: np.tanh, tg.relu, inv")
    ops.add_argument("--missing", action="store_true", help="list what has no gradient")
    ops.set_defaults(run=_ops)


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="search for inputs at which the gradients of your own ops are wrong",
        description="Import a module, and search the domain of every op that it makes with @tg.op "
        "or tg.register for inputs at which a gradient is wrong. What an op is to be called with, "
        "where its rules do not say, stands in the module: "
        "SAMPLES = {op: [(args, options), ...]}, as for tg.check_op.",
    )
    check.add_argument("target", metavar="MODULE[:OP]", help="my_ops.py, package.my_ops, a.py:cube")
    check.add_argument(
        "--examples",
        type=partial(_whole_number, least=1),
        metavar="N",
        help="how many cases to try per op (default: Hypothesis', 100)",
    )
    check.set_defaults(run=_check)


def _add_trace(commands: Any) -> None:
    trace = commands.add_parser(
        "trace",
        help="print a function with its gradient as a NumPy program",
        description="Print the forward and backward pass of a function as a straight-line NumPy "
        "program. The shapes of the arguments are those of --shape, of arrays that are their "
        "defaults, or of arrays of the same name in the file.",
    )
    trace.add_argument("target", metavar="FILE:FUNCTION", help="model.py:loss")
    _add_shapes(trace)
    trace.set_defaults(run=_trace)


def _add_shapes(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--shape",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=SHAPE",
        help="x=3,4 W=4,5 scale=() labels=3:int",
    )


def _add_draw(commands: Any) -> None:
    draw = commands.add_parser(
        "draw",
        help="draw the computation graph of a Tensor or of a function",
        description="Draw what a Tensor of your file was computed from, or what a function of it "
        "computes. The shapes of the arguments are found as for trace.",
    )
    _add_target(draw, "graph.svg", ".svg, .html, .dot; with Graphviz also .png, .pdf")
    draw.add_argument("--text", action="store_true", help="print a table instead")
    for option, choices, default in (
        ("level", ("compact", "normal", "full"), "normal"),
        ("engine", ("auto", "dot", "builtin"), "auto"),
        ("direction", ("LR", "TB"), "LR"),
        ("constants", ("auto", "show", "fold"), "auto"),
    ):
        draw.add_argument(
            f"--{option}", choices=choices, default=default, help="(default: %(default)s)"
        )
    draw.add_argument(
        "--collapse",
        type=lambda text: int(text) if text.isdecimal() else text,
        default="auto",
        metavar="HOW",
        help="auto, none, modules, or how many levels of modules to leave open",
    )
    draw.add_argument("--around", metavar="NAME", help="draw only what is near this Tensor")
    draw.add_argument(
        "--depth",
        type=partial(_whole_number, least=0),
        default=2,
        metavar="N",
        help="how many steps around it (default: %(default)s)",
    )
    draw.add_argument(
        "--highlight", metavar="NAME", help="the ways from this Tensor to the result, or: gradients"
    )
    draw.add_argument(
        "--max-nodes",
        type=partial(_whole_number, least=1),
        default=3000,
        metavar="N",
        help="the most boxes of a picture (default: %(default)s)",
    )
    draw.set_defaults(run=_draw)


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        help="write a page that steps through the chain rule",
        description="Write a page that steps through the backward pass of a Tensor of your file, "
        "or of what a function returns. The shapes of the arguments are found as for trace.",
    )
    _add_target(explain, "backprop.html", ".html")
    explain.add_argument("--title", metavar="TEXT", help="of the page")
    explain.add_argument(
        "--learning-rate",
        type=float,
        default=0.1,
        metavar="RATE",
        help="of the update at the end (default: %(default)s)",
    )
    explain.set_defaults(run=_explain)


def _add_target(command: argparse.ArgumentParser, out: str, endings: str) -> None:
    command.add_argument("target", metavar="FILE:NAME", help="model.py:loss, a Tensor or function")
    _add_shapes(command)
    command.add_argument(
        "--wrt",
        nargs="+",
        metavar="NAME",
        help="the arguments that need a gradient (default: all of floats)",
    )
    command.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path(out),
        metavar="FILE",
        help=f"where to write it, ending in {endings} (default: %(default)s)",
    )
    command.add_argument("--open", action="store_true", help="show it in the browser")


def _demo(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import demo  # on demand: --help and --version stay quick

    return demo.run(seed=arguments.seed, epochs=arguments.epochs, out=arguments.out)


def _train(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import commands

    return commands.train(arguments.name, arguments.out)


def _ops(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import commands

    return commands.ops(arguments.name, arguments.missing)


def _check(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import commands

    return commands.check(arguments.target, arguments.examples)


def _trace(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import commands

    return commands.trace(arguments.target, arguments.shape)


def _draw(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import pictures

    return pictures.draw(
        _target(arguments),
        arguments.out,
        table=arguments.text,
        show=arguments.open,
        around=arguments.around,
        highlight=arguments.highlight,
        level=arguments.level,
        collapse=arguments.collapse,
        engine=arguments.engine,
        direction=arguments.direction,
        constants=arguments.constants,
        depth=arguments.depth,
        max_nodes=arguments.max_nodes,
    )


def _explain(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import pictures

    return pictures.explain(
        _target(arguments),
        arguments.out,
        show=arguments.open,
        title=arguments.title,
        learning_rate=arguments.learning_rate,
    )


def _target(arguments: argparse.Namespace) -> tuple[str, list[str], list[str] | None]:
    return arguments.target, arguments.shape, arguments.wrt


def _whole_number(text: str, least: int) -> int:
    """An argparse type: an integer that is not below a bound."""
    try:
        number = int(text)
        if number >= least:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")


def _folder(text: str) -> Path:
    """An argparse type: a folder, or a path where one can be made."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, but {text!r} is a file")
    return path


if __name__ == "__main__":
    raise SystemExit(main())

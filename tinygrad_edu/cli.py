"""The command line: `tinygrad-edu demo`."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tinygrad_edu import InputError, __version__


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
    except InputError as error:  # a damaged data file, a picture that cannot be saved
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
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    from tinygrad_edu import demo  # on demand: --help and --version stay quick

    return demo.run(seed=arguments.seed, epochs=arguments.epochs, out=arguments.out)


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

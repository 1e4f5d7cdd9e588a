"""Pictures laid out by Graphviz, where its program `dot` is installed."""

from __future__ import annotations

import re
import shutil
from subprocess import TimeoutExpired

from graphviz.backend import dot_command, execute

SECONDS = 20.0  # after which `dot` is stopped: it may take hours for what cannot be read anyway

MISSING = (
    "Graphviz program 'dot' not found (pip install graphviz is only the Python interface). Fix one "
    "of: (1) apt-get install graphviz / brew install graphviz / winget install Graphviz.Graphviz; "
    "(2) {instead}"
)


class DotFailed(Exception):
    """`dot` is missing, was too slow or refused its input; the message says which."""


def has_dot() -> bool:
    """Whether `dot` is on PATH."""
    return shutil.which("dot") is not None


def render(source: str, form: str) -> bytes:
    """Run `dot`.

    Args:
        source: the graph in the DOT language.
        form: "svg", "png", "pdf".

    Raises:
        DotFailed: if it fails.
    """
    try:
        done = execute.run_check(
            dot_command.command("dot", form),
            input=source.encode(),
            capture_output=True,
            quiet=True,
            timeout=SECONDS,
        )
    except execute.ExecutableNotFound:
        raise DotFailed("'dot' not found") from None
    except TimeoutExpired:
        raise DotFailed(f"'dot' took more than {SECONDS:g} seconds") from None
    except execute.CalledProcessError as error:
        detail = (error.stderr or b"").decode(errors="replace").strip()
        raise DotFailed(f"'dot' failed: {detail[:200]}") from None
    return bytes(done.stdout)


def svg(source: str, own: str, title: str) -> str:
    """The picture as SVG text that can stand in a page: no prologue, ids of its own."""
    text = render(source, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r'id="(graph|clust)(\d+)"', rf'id="{own}-\1\2"', text)
    text = re.sub(r"<title>%3</title>", f"<title>{title}</title>", text, count=1)
    return text.replace("<svg ", f'<svg id="{own}" role="img" ', 1)

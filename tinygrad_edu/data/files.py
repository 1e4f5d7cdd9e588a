"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_aside(path: str | Path, save: Callable[[Path], object]) -> None:
    """Let `save` write under another name in the same folder, then rename.

    Whatever goes wrong while it writes, what stood at `path` before is still there.

    Args:
        path: where the file shall stand; its folder is made if needed.
        save: called with the name to write to, which ends like `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        save(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)

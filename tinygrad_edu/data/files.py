"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_aside(path: str | os.PathLike[str], save: Callable[[Path], object]) -> None:
    """Let `save` write under another name in the same folder, then rename.

    Whatever goes wrong while it writes, what stood at `path` before is still there.

    Args:
        path: where the file shall stand; its folder is made if needed, and a link followed.
        save: called with the name to write to, which ends like `path`.
    """
    path = Path(path).resolve()  # a link would itself be replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        save(unfinished)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut could leave the new name without its content
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)

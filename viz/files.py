"""Writing files whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from tinygrad_edu import DtypeError, InputError


def checked(path: Any, endings: Sequence[str], caller: str) -> Path:
    """A path that ends in one of `endings`.

    Raises:
        DtypeError: if it is no path.
        InputError: if it ends otherwise.
    """
    if not isinstance(path, str | os.PathLike):
        raise DtypeError(
            f"{caller}: expected a path, got {type(path).__name__}; write {caller}(..., "
            f"'picture{endings[0]}')"
        )
    path = Path(path).expanduser()
    if path.suffix.lower() not in endings:
        raise InputError(
            f"{caller}: expected a path that ends in {' or '.join(endings)}, got {str(path)!r}; "
            "a browser opens .svg and .html"
        )
    return path


def write(path: Path, content: bytes, caller: str) -> Path:
    """Write aside, then rename: nobody ever finds half a file, or loses the old one.

    Raises:
        InputError: if the path cannot be written.
    """
    aside = path.with_name(f".{uuid4().hex}.tmp") if path.name else path
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"{caller}: expected a path that can be written, got {str(path)!r}: {why}; "
            "choose an existing folder that you may write to"
        ) from error
    finally:
        with suppress(OSError, ValueError):
            aside.unlink()
    return path

"""Writing files whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from tinygrad_edu import InputError


def write(path: Path, content: bytes, caller: str) -> Path:
    """Write aside, then rename: nobody ever finds half a file, or loses the old one.

    Raises:
        InputError: if the path cannot be written.
    """
    path = path.expanduser()
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

"""IDX, the file format of MNIST: a header with dtype and shape, then the numbers.

    byte 0, 1    zero
    byte 2       the dtype: 8 for uint8, ...
    byte 3       the number of axes
    4 bytes each the length of every axis
    the rest     the numbers, last axis fastest

All numbers are stored with the highest byte first.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, "File
formats for the MNIST database" (1998), http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.files import write_aside
from tinygrad_edu.errors import DtypeError, InputError

_DTYPES = {8: "u1", 9: "i1", 11: "i2", 12: "i4", 13: "f4", 14: "f8"}
_CODES = {np.dtype(name): code for code, name in _DTYPES.items()}
_GZIP = b"\x1f\x8b"  # what every gzip file begins with


def read_idx(source: str | Path | bytes) -> npt.NDArray[Any]:
    """Read an IDX file, packed with gzip or not.

    Args:
        source: a path, or what is in the file.

    Returns:
        A fresh array of the shape and dtype that the header tells.

    Raises:
        InputError: if it is no IDX file, or one with too few or too many bytes.
    """
    name = "read_idx" if isinstance(source, bytes) else f"read_idx: {source}"
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{name}: is a damaged gzip file ({error}); get it anew") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise InputError(
            f"{name}: expected an IDX file, which begins with two zero bytes and the code of a "
            f"dtype ({', '.join(map(str, _DTYPES))}), got {content[:4]!r}"
        )
    dtype, start = np.dtype(_DTYPES[content[2]]).newbyteorder(">"), 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(f"{name}: ends within its header, after {len(content)} of {start} bytes")
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - start
    if found != expected:
        raise InputError(
            f"{name}: the header says shape {shape}, which is {expected:,} bytes of {dtype.name}, "
            f"but {found:,} bytes follow; get it anew"
        )
    try:
        numbers = np.frombuffer(content[start:], dtype).reshape(shape)
    except ValueError as error:  # more axes, or longer ones, than NumPy takes
        raise InputError(f"{name}: cannot hold the shape in the header: {error}") from error
    return numbers.astype(dtype.newbyteorder("="))


def write_idx(path: str | Path, array: npt.ArrayLike) -> None:
    """Write an array as an IDX file, packed with gzip where the name ends in ".gz".

    Args:
        path: of the file; one that is there is replaced when the new one is complete.
        array: of uint8, int8, int16, int32, float32 or float64.

    Raises:
        DtypeError: if the format has no code for the dtype.
        InputError: if an axis is 2**32 or longer.
    """
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        names = ", ".join(dtype.name for dtype in _CODES)
        raise DtypeError(f"write_idx: expected one of {names}, got {array.dtype}; use astype")
    if max(array.shape, default=0) >= 2**32:
        raise InputError(f"write_idx: an axis must be shorter than 2**32, got shape {array.shape}")
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, mtime=0)  # the same bytes whenever it is written
    write_aside(path, lambda unfinished: unfinished.write_bytes(content))

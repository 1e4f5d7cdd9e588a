"""Checkpoints: weights, and all that training needs to go on, in safetensors files.

A safetensors file holds named arrays and a text, and nothing that could run: reading one is safe
wherever it comes from. (A pickle runs what it says, and is refused.) A plain dict of arrays, such
as `model.state_dict()`, is stored under its names, as every other library does it. For anything
nested, the text says in JSON how the arrays belong together. A checksum tells damage, which with
numbers alone would pass for other numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_edu.data.files import write_aside
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.nn.module import Module
from tinygrad_edu.tensor import Tensor

_TREE, _SUM = "tinygrad_edu", "sha256"  # what is in the file's metadata: the JSON, the checksum
_PICKLE = (b"\x80", b"PK\x03\x04", b"(d", b"cpickle", b"\x93NUMPY")
_DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")
Path_ = str | os.PathLike[str]


def save(state: Any, path: Path_) -> None:
    """Write a model's state, or a nested dict of arrays, numbers and texts, to a file.

    The file is written aside and then renamed: whatever happens, there is the old file or the new.

    Args:
        state: a `Module`, or what else has a `state_dict()`; or a dict of arrays, Tensors, numbers,
            texts, None, Generators, such objects, and dicts, lists and tuples of these.
        path: where to; an existing file is replaced, and a folder that is missing made.

    Raises:
        DtypeError: if something in it can be no part of a file.
        InputError: if an array would have no name, that of another, or one that files reserve.
        ImportError: if safetensors is not installed.
    """
    safetensors = _safetensors()
    state = state.state_dict() if hasattr(state, "state_dict") else state
    if not isinstance(state, Mapping):
        raise DtypeError(
            f"nn.save: expected a Module or a dict for state, got {type(state).__name__}: "
            "nn.save(model, path)"
        )
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = _pack("", state, arrays)
    flat = set(tree) == {"dict"} and all(
        isinstance(value, Mapping) and value.get("array") == key for key, value in tree["dict"]
    )
    text = "" if flat else json.dumps(tree)
    metadata = {_SUM: _checksum(text, arrays), **({_TREE: text} if text else {})}
    content = safetensors.save(arrays, metadata)
    write_aside(path, lambda unfinished: unfinished.write_bytes(content))


def load(path: Path_) -> dict[str, Any]:
    """Read what `save` wrote, or any other safetensors file: name -> array.

    Args:
        path: of the file.

    Returns:
        What was saved; in place of modules, Tensors and Generators, their state.

    Raises:
        InputError: if it is no safetensors file, not a whole one, or (of files that `save` wrote)
            a damaged one; pickles are refused.
        DtypeError: if it has complex numbers, or some that NumPy lacks, such as bfloat16.
        FileNotFoundError: if there is none.
        ImportError: if safetensors is not installed.
    """
    safetensors = _safetensors()
    data = Path(path).read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        _check_dtypes(path, header)
        arrays: dict[str, Any] = safetensors.load(data)
        metadata = header.get("__metadata__") or {}
        text = metadata.get(_TREE, "")
        if _SUM in metadata and metadata[_SUM] != _checksum(text, arrays):
            raise InputError("its numbers are not those that were saved (by their SHA-256)")
        state: dict[str, Any] = _unpack(json.loads(text), arrays) if text else arrays
    except DtypeError:
        raise
    except Exception as error:  # of safetensors, which has its own, and of a text that is no JSON
        if data.startswith(_PICKLE):  # asked last: the length of a header may begin so, too
            raise InputError(
                f"nn.load: {path} is a pickle, or a PyTorch or NumPy file, and pickles can run "
                "code: expected a safetensors file; write one where the weights come from"
            ) from error
        raise InputError(
            f"nn.load: {path} ({len(data):,} bytes) is no whole safetensors file: {error}; "
            "copy it again from where it came"
        ) from error
    return state


def save_checkpoint(
    path: Path_,
    model: Module,
    optimizer: Any = None,
    *,
    rng: np.random.Generator | None = None,
    **more: Any,
) -> None:
    """Write all that training needs to go on exactly as if it had not stopped.

        nn.save_checkpoint("run.safetensors", model, optimizer, rng=rng, schedule=schedule, epoch=3)

    Args:
        path: where to; an existing file is replaced as a whole, or not at all.
        model: its state, and that of Generators in it, such as those of `Dropout`.
        optimizer: anything with `state_dict()`.
        rng: the Generator that shuffles.
        **more: numbers, texts, arrays and others with a `state_dict()`, see `save`.

    Raises:
        DtypeError: if something can be no part of a file.
        ImportError: if safetensors is not installed.
    """
    _check_parts("save_checkpoint", model, rng)
    generators = dict(_generators(model))
    save(
        {
            "model": model,
            "optimizer": optimizer,
            "rng": rng,
            "generators": generators,
            "more": more,
        },
        path,
    )


def load_checkpoint(
    path: Path_,
    model: Module,
    optimizer: Any = None,
    *,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Go back to where `save_checkpoint` was called; all of it, or nothing if something is wrong.

        more = nn.load_checkpoint("run.safetensors", model, optimizer, rng=rng)
        schedule.load_state_dict(more["schedule"])

    Args:
        path: of the file.
        model: built as it was then.
        optimizer: likewise, with `state_dict()` and `load_state_dict()`.
        rng: the Generator whose state is to be set.

    Returns:
        What else was saved, as `load` gives it; a history is `nn.History(nn.Epoch(*e) for e in
        more["history"])`.

    Raises:
        InputError: if the file is no checkpoint, or not of this model and optimizer.
        DtypeError: if an array in it has another kind of numbers.
        ImportError: if safetensors is not installed.
    """
    _check_parts("load_checkpoint", model, rng)
    state = load(path)
    if not {"model", "optimizer", "rng", "generators", "more"} <= state.keys():
        raise InputError(
            f"nn.load_checkpoint: expected a file of nn.save_checkpoint, got {path} with "
            f"{', '.join(list(state)[:5])}; model.load_state_dict(nn.load(path)) reads weights"
        )
    asked = {"optimizer": optimizer, "rng": rng}
    missing = [name for name, part in asked.items() if part is not None and state[name] is None]
    own, saved = dict(_generators(model)), state["generators"]
    if missing or own.keys() != saved.keys():
        raise InputError(
            f"nn.load_checkpoint: {path}: expected the state of "
            f"{', '.join([*missing, *own]) or 'a model without Generators'}, got that of "
            f"{', '.join(saved) or 'none'}"
        )
    generators = [(place, generator, saved[place]) for place, generator in own.items()]
    if rng is not None:
        generators.append(("rng", rng, state["rng"]))
    for part in generators:
        _check_generator(*part)
    before = model.state_dict()
    try:
        model.load_state_dict(state["model"])
        if optimizer is not None:
            optimizer.load_state_dict(state["optimizer"])
    except BaseException:  # Ctrl-C included
        model.load_state_dict(before)
        raise
    for _, generator, found in generators:
        generator.bit_generator.state = found
    more: dict[str, Any] = state["more"]
    return more


def _check_parts(function: str, model: Any, rng: Any) -> None:
    if not isinstance(model, Module):
        raise DtypeError(
            f"nn.{function}: expected a Module for model, got {type(model).__name__}: "
            f"nn.{function}(path, model, ...)"
        )
    if not isinstance(rng, np.random.Generator | None):
        raise DtypeError(f"nn.{function}: expected a Generator for rng, got {type(rng).__name__}")


# -- generators ------------------------------------------------------------------------------------


def _generators(model: Module) -> list[tuple[str, np.random.Generator]]:
    """Those that its modules draw from, by place."""
    return [
        (f"{path}.{name}" if path else name, value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, np.random.Generator)
    ]


def _check_generator(place: str, generator: np.random.Generator, state: Any) -> None:
    """A saved state is of the kind of the Generator that is to be set to it."""
    bits = type(generator.bit_generator)
    try:
        bits(0).state = state
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        found = state.get("bit_generator") if isinstance(state, dict) else state
        raise InputError(
            f"nn.load_checkpoint: {place}: expected {bits.__name__}'s state, got {found}'s"
        ) from None


# -- nested states as flat ones --------------------------------------------------------------------


def _pack(path: str, value: Any, arrays: dict[str, Any]) -> Any:
    """What JSON can say of a value, with its arrays put aside under their paths."""
    if isinstance(value, np.random.Generator):
        value = value.bit_generator.state
    elif not isinstance(value, type) and hasattr(value, "state_dict"):
        value = value.state_dict()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {
            "dict": [
                [_key(path, key), _pack(f"{path}.{key}" if path else str(key), inner, arrays)]
                for key, inner in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        parts = [_pack(f"{path}.{i}", inner, arrays) for i, inner in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return _put_aside(path, value, arrays)
    raise DtypeError(
        f"nn.save: {path or 'state'}: expected arrays, numbers, texts, dicts and lists of them, "
        f"got {type(value).__name__}"
    )


def _key(path: str, key: Any) -> str | int:
    if type(key) not in (str, int):
        raise DtypeError(
            f"nn.save: {path or 'state'}: expected keys to be texts or integers, got {key!r}"
        )
    return key


def _put_aside(path: str, value: Any, arrays: dict[str, Any]) -> dict[str, str]:
    array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DtypeError(f"nn.save: {path}: expected real numbers, got dtype {array.dtype}")
    if path in (*arrays, "", "__metadata__"):
        raise InputError(
            f"nn.save: expected a name of its own for each array, got {path!r}"
            + (" twice" if path in arrays else "")
        )
    arrays[path] = np.array(array, array.dtype.newbyteorder("="), order="C")
    return {"number" if isinstance(value, np.generic) else "array": path}


def _unpack(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(tree, list):
        return [_unpack(inner, arrays) for inner in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "dict":
        return {key: _unpack(inner, arrays) for key, inner in content}
    if kind == "tuple":
        return tuple(_unpack(inner, arrays) for inner in content)
    return arrays[content] if kind == "array" else arrays[content][()]


def _check_dtypes(path: Path_, header: Mapping[str, Any]) -> None:
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] not in _DTYPES:
            raise DtypeError(
                f"nn.load: {path}: {name}: expected real numbers as NumPy has, got "
                f"{entry['dtype']}; save the weights as float32"
            )


# -- files -----------------------------------------------------------------------------------------


def _checksum(text: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Of all that a file holds: a bit that flips on a disk is else just another number."""
    total = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _safetensors() -> Any:
    try:
        import safetensors.numpy  # an extra: only files of weights need it
    except ImportError as error:
        raise ImportError(
            "nn.save and nn.load need safetensors: pip install 'tinygrad-edu[weights]'"
        ) from error
    return safetensors.numpy

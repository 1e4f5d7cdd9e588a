"""Checkpoints: weights, and all that training needs to go on, in safetensors files.

A safetensors file holds named arrays and a text, and nothing that could run: reading one is safe
wherever it comes from. (A pickle runs what it says, and is refused.) A plain dict of arrays, such
as `model.state_dict()`, is stored under its names, as every other library does it. For anything
nested, the text says in JSON how the arrays belong together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.nn.module import Module
from tinygrad_edu.tensor import Tensor

_KEY = "tinygrad_edu"  # of the JSON in the file's metadata
_PICKLE = (b"\x80", b"PK\x03\x04", b"(d", b"cpickle", b"\x93NUMPY")
_DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")
Path_ = str | os.PathLike[str]


def save(state: Any, path: Path_) -> None:
    """Write a model's state, or a nested dict of arrays, numbers and texts, to a file.

    The file is written aside and then renamed: whatever happens, there is the old file or the new.

    Args:
        state: a `Module`; or a dict of arrays, Tensors, numbers, texts, None, modules and others
            with a `state_dict()`, Generators, and dicts, lists and tuples of all these.
        path: where to; an existing file is replaced.

    Raises:
        DtypeError: if something in it can be no part of a file.
        InputError: if two arrays would have one name.
        ImportError: if safetensors is not installed.
    """
    safetensors = _safetensors()
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = _pack("", state.state_dict() if isinstance(state, Module) else state, arrays)
    flat = set(tree) == {"dict"} and all(
        isinstance(value, Mapping) and value.get("array") == key for key, value in tree["dict"]
    )
    metadata = None if flat else {_KEY: json.dumps(tree)}
    _replace(Path(path), safetensors.save(arrays, metadata))


def load(path: Path_) -> dict[str, Any]:
    """Read what `save` wrote, or any other safetensors file: name -> array.

    Args:
        path: of the file.

    Returns:
        What was saved; in place of modules, Tensors and Generators, their state.

    Raises:
        InputError: if it is no safetensors file, or not a whole one; pickles are refused.
        DtypeError: if it has numbers that NumPy lacks, such as bfloat16.
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
        text = (header.get("__metadata__") or {}).get(_KEY)
        if text is None:
            return arrays
        state: dict[str, Any] = _unpack(json.loads(text), arrays)
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

        nn.save_checkpoint("run.safetensors", model, optimizer, rng=rng, epoch=3)

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

        epoch = nn.load_checkpoint("run.safetensors", model, optimizer, rng=rng)["epoch"]

    Args:
        path: of the file.
        model: built as it was then.
        optimizer: likewise, with `state_dict()` and `load_state_dict()`.
        rng: the Generator whose state is to be set.

    Returns:
        What else was saved.

    Raises:
        InputError: if the file is no checkpoint, or not of this model and optimizer.
        DtypeError: if an array in it has another kind of numbers.
        ImportError: if safetensors is not installed.
    """
    state = load(path)
    if not isinstance(state.get("model"), dict) or "generators" not in state:
        raise InputError(
            f"nn.load_checkpoint: expected a file of nn.save_checkpoint, got {path} with "
            f"{', '.join(list(state)[:5])}; model.load_state_dict(nn.load(path)) reads weights"
        )
    asked = {"optimizer": optimizer, "rng": rng}
    missing = [name for name, part in asked.items() if part is not None and state[name] is None]
    places = dict(_generators(model))
    if missing or places.keys() != state["generators"].keys():
        raise InputError(
            f"nn.load_checkpoint: {path}: expected the state of "
            f"{', '.join([*missing, *places]) or 'a model without Generators'}, got that of "
            f"{', '.join(state['generators']) or 'none'}"
        )
    generators = [
        (place, generator, state["generators"][place]) for place, generator in places.items()
    ]
    if rng is not None:
        generators.append(("rng", rng, state["rng"]))
    _check_generators(generators)
    before = model.state_dict()
    model.load_state_dict(state["model"])
    if optimizer is not None:
        try:
            optimizer.load_state_dict(state["optimizer"])
        except Exception:
            model.load_state_dict(before)
            raise
    for _, generator, found in generators:
        generator.bit_generator.state = found
    more: dict[str, Any] = state["more"]
    return more


# -- generators ------------------------------------------------------------------------------------


def _generators(model: Module) -> list[tuple[str, np.random.Generator]]:
    """Those that its modules draw from, by place."""
    return [
        (f"{path}.{name}" if path else name, value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, np.random.Generator)
    ]


def _check_generators(parts: list[tuple[str, np.random.Generator, Any]]) -> None:
    """Each has a state of its own kind to be set to."""
    for place, generator, state in parts:
        kind = generator.bit_generator.state["bit_generator"]
        found = state.get("bit_generator") if isinstance(state, dict) else state
        if found != kind:
            raise InputError(f"nn.load_checkpoint: {place}: expected {kind}'s state, got {found}'s")


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
    if path in arrays or not path:
        raise InputError(f"nn.save: expected a name for each array, got two of name {path!r}")
    arrays[path] = np.array(array, order="C")
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
                f"nn.load: {path}: {name}: expected numbers that NumPy has, got {entry['dtype']}; "
                "save the weights as float32"
            )


# -- files -----------------------------------------------------------------------------------------


def _replace(path: Path, data: bytes) -> None:
    """Write a file that is there as a whole, or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _safetensors() -> Any:
    try:
        import safetensors.numpy  # an extra: only files of weights need it
    except ImportError as error:
        raise ImportError(
            "nn.save and nn.load need safetensors: pip install 'tinygrad-edu[weights]'"
        ) from error
    return safetensors.numpy

"""Module: a part of a network, with its parameters and parts as plain attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np

from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.mode import scope
from tinygrad_edu.nn.checks import title
from tinygrad_edu.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that belongs to a module and is learnt.

    It stays a parameter of its module when `requires_grad` is switched off to freeze it.

    Args:
        data: numbers, see `Tensor`.
        requires_grad: whether `backward()` shall leave a gradient.
        name: shown in messages and pictures; by default that of the attribute.
        dtype: by default that of `data`.
    """

    __slots__ = ()

    def __init__(
        self, data: Any, requires_grad: bool = True, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(data, requires_grad, name, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        _, arguments = super().__reduce__()
        return _rebuild, arguments


def _rebuild(data: Any, requires_grad: bool, name: str | None, grad: Any) -> Parameter:
    parameter = Parameter(data, requires_grad, name)
    parameter.grad = grad
    return parameter


class Buffer(Tensor):
    """A Tensor that belongs to a module and is not learnt, such as a running mean.

    It is saved and loaded like a parameter. (A plain Tensor as an attribute is not: a module may
    keep what it computed last.)

    Args:
        data: numbers, see `Tensor`.
        name: shown in messages and pictures; by default that of the attribute.
        dtype: by default that of `data`.
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(data, False, name, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        _, (data, _, name, _) = super().__reduce__()
        return Buffer, (data, name)


class Mismatch(NamedTuple):
    """What `load_state_dict(..., strict=False)` left out, under PyTorch's names.

    Attributes:
        missing_keys: paths of the module that the state has not.
        unexpected_keys: paths of the state that the module has not.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A part of a network: write `forward`, and give it parameters and modules as attributes.

        class Affine(Module):
            def __init__(self, W, b):
                self.W, self.b = Parameter(W), Parameter(b)

            def forward(self, x):
                return x @ self.W + self.b

    Parameters and modules are found where they are: as attributes, and in lists, tuples and dicts
    that are attributes (so that there is no ModuleList). `super().__init__()` may be called, and
    need not be. Calling a module runs `forward` in a `tg.scope` of its name, so that pictures show
    it.

    Attributes:
        training: whether it is being trained: what dropout and batch normalisation ask.
    """

    training: bool = True
    _name: str = ""
    _named: bool = False  # whether what it holds has got names

    def forward(self, *args: Any, **options: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__}: write its method forward(self, ...)")

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run `forward` in a scope of the module's name; an error in it gets a note of where."""
        if not self._named:  # modules may have been appended to a list since it was assigned
            self._name_parts()
            self._named = True
        with _scope(self._name or type(self).__name__):
            try:
                return self.forward(*args, **options)
            except Exception as error:
                _say_where(error, self)
                raise

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, value in vars(cls).items():
            if isinstance(value, Module | Parameter | Buffer):
                raise InputError(
                    f"{cls.__name__}.{name}: an attribute of the class would be shared by all its "
                    "modules and belong to none; assign it to self in __init__"
                )

    def __setattr__(self, name: str, value: Any) -> None:
        place = f"{type(self).__name__}.{name}"
        if (not name or "." in name) and any(_parts(name, value)):
            raise InputError(f"{place}: expected a name without '.', got {name!r}")
        if isinstance(vars(self).get(name), Parameter | Buffer) and not (
            value is None or isinstance(value, Parameter | Buffer)
        ):
            raise DtypeError(
                f"{place}: expected a Parameter, which is there now, got {type(value).__name__}; "
                f"assign new numbers to {name}.data, or a new nn.Parameter"
            )
        for path, part in _parts(name, value):
            if isinstance(part, Module) and any(module is self for module in part.modules()):
                raise InputError(f"{place}: {_INSIDE_ITSELF}")
            if type(part) is Tensor and part.is_leaf and part.requires_grad:
                raise InputError(
                    f"{type(self).__name__}.{path}: expected an nn.Parameter, got a Tensor that "
                    "requires a gradient, which no optimiser would find; write nn.Parameter(data)"
                )
        object.__setattr__(self, name, value)
        self._name_parts(name)

    def _name_parts(self, *attributes: str) -> None:
        """Call what it holds after where it is, unless it has a name already."""
        for attribute in attributes or [*vars(self)]:
            for path, part in _parts(attribute, vars(self)[attribute]):
                if isinstance(part, Module) and not part._name:
                    object.__setattr__(part, "_name", path)
                elif isinstance(part, Parameter | Buffer) and part.name is None:
                    part.name = path

    # -- what is in it -----------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """It and all modules inside it, each once, with their paths: "", "encoder.0", ..."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                stack.extend(reversed([*module.named_children(f"{path}." if path else "")]))

    def modules(self) -> Iterator[Module]:
        """It and all modules inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """The modules that are its own attributes."""
        for path, part in self._own():
            if isinstance(part, Module):
                yield prefix + path, part

    def children(self) -> Iterator[Module]:
        """The modules that are its own attributes."""
        return (module for _, module in self.named_children())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters, each once, with their paths: "0.weight", ..."""
        seen: set[int] = set()
        for path, tensor in self._tensors(prefix):
            if isinstance(tensor, Parameter) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield path, tensor

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        """All buffers, each once, with their paths."""
        seen: set[int] = set()
        for path, tensor in self._tensors(prefix):
            if isinstance(tensor, Buffer) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield path, tensor

    def buffers(self) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    def _own(self) -> Iterator[tuple[str, Module | Tensor]]:
        return chain.from_iterable(
            _parts(name, value) for name, value in vars(self).items() if isinstance(value, _HOLDERS)
        )

    def _tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers by every path: one that two modules share comes twice."""
        stack: list[tuple[str, Module | Tensor, tuple[int, ...]]] = [(prefix, self, ())]
        while stack:
            path, part, outer = stack.pop()
            if isinstance(part, Parameter | Buffer):
                yield path, part
            elif isinstance(part, Module):
                if id(part) in outer:  # appended to a list since that was assigned
                    raise InputError(f"{path}: {_INSIDE_ITSELF}")
                dot, outer = f"{path}." if path else "", (*outer, id(part))
                stack.extend(reversed([(dot + name, inner, outer) for name, inner in part._own()]))

    # -- what can be done to all of it -------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch everything in it to training, or with False to evaluation.

        Raises:
            DtypeError: if `mode` is neither.
        """
        if not isinstance(mode, bool | np.bool):
            raise DtypeError(
                f"train: expected True or False, got {type(mode).__name__}; it switches between "
                "training and evaluation, and nn.fit is what trains"
            )
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch everything in it to evaluation: no dropout, statistics that were learnt."""
        return self.train(False)

    def apply(self, f: Callable[[Module], object]) -> Self:
        """Call `f` on everything in it, the innermost modules first, as PyTorch does."""
        seen: set[int] = set()

        def visit(module: Module) -> None:
            if id(module) not in seen:
                seen.add(id(module))
                for child in module.children():
                    visit(child)
                f(module)

        visit(self)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, wanted: bool = True) -> Self:
        """Let all parameters get a gradient, or with False freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad = wanted
        return self

    # -- state -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all parameters and buffers, by path; what two modules share, by both."""
        return {path: tensor.numpy().copy() for path, tensor in self._tensors()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Take over numbers that `state_dict` gave; all of them, or none where something is wrong.

        Args:
            state: path -> array; floats of another precision are converted.
            strict: refuse paths that are missing or that the module does not have.

        Returns:
            What was left out, which with `strict` is nothing.

        Raises:
            InputError: if paths are missing or unexpected, a shape does not fit, a number is too
                large for the dtype, or two numbers are given for a parameter that is shared.
            DtypeError: if what is loaded are no numbers of the same kind.
        """
        if not isinstance(state, Mapping):
            raise DtypeError(
                f"load_state_dict: expected a dict from path to array, got {type(state).__name__}; "
                "pass what state_dict() or nn.load(path) returned"
            )
        own = dict(self._tensors())
        mismatch = Mismatch(
            [path for path in own if path not in state],
            [path for path in state if path not in own],
        )
        if strict and any(mismatch):
            lists = zip(("missing: ", "unexpected: "), mismatch, strict=True)
            raise InputError(
                f"load_state_dict: expected the state of this {type(self).__name__}; "
                + "; ".join(what + _listed(paths) for what, paths in lists if paths)
                + "; build the model as it was saved, or pass strict=False"
            )
        found: dict[int, tuple[str, Any]] = {}
        for path in (path for path in own if path in state):
            array = _fitting(path, own[path], state[path])
            other, same = found.setdefault(id(own[path]), (path, array))
            if not np.array_equal(same, array, equal_nan=array.dtype.kind == "f"):
                raise InputError(
                    f"load_state_dict: {other} and {path} are one parameter here, and the state "
                    "has different numbers for them; build the model without sharing"
                )
        for tensor in own.values():
            if id(tensor) in found:
                tensor.data = found[id(tensor)][1]
        return mismatch

    # -- text --------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """The modules in it, the shapes of their parameters, and how many numbers these are."""
        parameters = [*self.parameters()]
        lines = self._lines("")
        if len(lines) > 1:
            frozen = sum(p.size for p in parameters if not p.requires_grad)
            total = _counted(sum(p.size for p in parameters))
            lines.append(total + (f", {frozen:,} of them frozen" if frozen else ""))
        return "\n".join(lines)

    def _lines(self, label: str) -> list[str]:
        own = [(name, part) for name, part in self._own() if isinstance(part, Parameter)]
        shapes = ", ".join(f"{name} {part.shape}" for name, part in own)
        count = sum(part.size for _, part in own)
        note = f"  # {shapes}: {_counted(count)}" if own else ""
        head = f"{label}{type(self).__name__}({self.extra_repr()}"
        inner = [
            f"  {line}"
            for path, child in self.named_children()
            for line in child._lines(f"({path}): ")
        ]
        return [head + note, *inner, ")"] if inner else [f"{head}){note}"]

    def extra_repr(self) -> str:
        """What `repr` says of the module's own settings."""
        return ""


_HOLDERS = (Module, Tensor, list, tuple, dict, set, frozenset)
_INSIDE_ITSELF = "a module cannot be inside itself; pass what it needs to forward"
# Blocks have no state of their own, so every module of a name may use the same one.
_scope = lru_cache(maxsize=4096)(scope)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Module | Tensor]]:
    """The modules and Tensors that an attribute holds, with their paths."""
    stack: list[tuple[str, Any]] = [(name, value)]
    while stack:
        path, part = stack.pop()
        if isinstance(part, Module | Tensor):
            yield path, part
        elif isinstance(part, list | tuple):
            if path.count(".") > 100:
                raise InputError(f"{name}: expected modules or Tensors, got a list inside itself")
            stack.extend(reversed([(f"{path}.{i}", inner) for i, inner in enumerate(part)]))
        elif isinstance(part, dict):
            for key, inner in part.items():
                if "." in str(key) and any(_parts("", inner)):
                    raise InputError(f"{path}: expected keys without '.', got {key!r}")
                if not isinstance(key, str) and str(key) in part and any(_parts("", inner)):
                    raise InputError(f"{path}: expected keys that differ as text, got {key!r}")
            stack.extend(reversed([(f"{path}.{key}", inner) for key, inner in part.items()]))
        elif isinstance(part, set | frozenset) and any(
            isinstance(x, Module | Tensor) for x in part
        ):
            raise InputError(f"{path}: expected a list, got a set, which has no order for names")


def _listed(paths: list[str], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(map(str, paths[:most])) + more


def _counted(parameters: int) -> str:
    return f"{parameters:,} parameter{'' if parameters == 1 else 's'}"


def _say_where(error: Exception, module: Module) -> None:
    """Add where in the model it was raised, if the message does not say so."""
    if not hasattr(error, "__notes__") and type(module).__name__ not in str(error):
        error.add_note(f"in {title(module)}")


def _fitting(path: str, tensor: Tensor, value: Any) -> np.ndarray[Any, Any]:
    """An array to be loaded, in the dtype of what it is loaded into."""
    array = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
    kind, wanted = (dtype.kind.replace("u", "i") for dtype in (array.dtype, tensor.dtype))
    if kind != wanted:
        raise DtypeError(
            f"load_state_dict: {path}: expected dtype {tensor.dtype}, got {array.dtype}"
        )
    if array.shape != tensor.shape:
        raise InputError(
            f"load_state_dict: {path}: expected shape {tensor.shape}, got {array.shape}; build the "
            "model with the sizes that it was saved with"
        )
    with np.errstate(over="ignore"):
        converted = array.astype(tensor.dtype)
    whole = array.dtype.kind != "f"
    if np.any(converted != array if whole else np.isfinite(converted) != np.isfinite(array)):
        raise InputError(
            f"load_state_dict: {path}: expected numbers that {tensor.dtype} can hold, got "
            f"{array.dtype} numbers that are too large for it"
        )
    return converted

"""Tensor: an array that remembers how it was computed.

Three ways lead here: Python's operators, NumPy's functions (through NumPy's own protocols), and
our own ops (`tg.relu`). All end in `record`, which computes the result on plain arrays and, if a
gradient may be wanted, keeps the op, the inputs and the arrays it computed with.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from sys import getrefcount
from types import NoneType
from typing import Any, SupportsIndex

import numpy as np

import tinygrad_edu.ops  # noqa: F401  # registers the ops that the operators below look up
from tinygrad_edu.backward import backpropagate, fingerprint, plain
from tinygrad_edu.errors import (
    AnomalyError,
    AutogradError,
    DtypeError,
    GraphError,
    IndexingError,
    InputError,
    LinAlgError,
    RuleError,
    UnsupportedError,
)
from tinygrad_edu.graph import Node, Record
from tinygrad_edu.hints import ELSEWHERE, INSTEAD, Missing
from tinygrad_edu.mode import MODE, PLAIN, Mode
from tinygrad_edu.op import REGISTRY, Array, Op, op, wrt
from tinygrad_edu.ops.index import getitem
from tinygrad_edu.ops.joining import unstack
from tinygrad_edu.ops.shape import astype
from tinygrad_edu.ops.special import register_scipy
from tinygrad_edu.ops.ufunc_methods import call_method, call_with_options

NO_OPTIONS: dict[str, Any] = {}  # shared and never written into; a read-only proxy costs 0.3 µs
_IMMUTABLE = frozenset(
    {int, float, bool, str, NoneType, slice, type(...), type, np.dtype}
    | {np.dtype(code).type for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"}
)


def record(op: Op, inputs: tuple[Any, ...], options: Mapping[str, Any] = NO_OPTIONS) -> Any:
    """Apply an op: compute on plain arrays; if a gradient may be wanted, remember how.

    Args:
        op: what to apply.
        inputs: its inputs as given: Tensors, arrays, plain values.
        options: its options, plain values.

    Returns:
        A Tensor; for an op with several outputs, a tuple of them.

    Raises:
        AutogradError: if the op does not accept the inputs.
    """
    values: Any = []
    tracked = foreign = False
    for x in inputs:
        if isinstance(x, Tensor):
            x._held = True
            tracked = tracked or x._tracked
            values.append(x._array)
        elif type(x) in _IMMUTABLE:
            values.append(x)
        else:  # an array (or list) that its owner may change later
            foreign = True
            values.append(_frozen(x, op, len(values)))
    mode = MODE.get()
    if tracked and op.partial and mode.recording:
        _check_rules(op, inputs)
    forward = op.public if mode.by_name else op.forward
    try:
        data = forward(*values, **options)
    except AutogradError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        raise _explained(error, op, inputs, options) from error
    if mode.anomaly:
        _check_finite(op, inputs, data)
    if not (tracked and mode.recording and op.rules):
        return _constant(data)
    if foreign:
        inputs = tuple(
            x if isinstance(x, Tensor) else value for x, value in zip(inputs, values, strict=True)
        )
    node = _new(Tensor)
    node._array = data
    node._op = op
    node._inputs = inputs
    node._values = tuple(values)  # of arrays alone: the garbage collector soon lets go of it
    node._options = options
    node._tracked = True
    node._held = False
    node._meta = None
    node.grad = None
    if mode is not PLAIN:
        _annotate(node, mode)
    try:
        real = data.dtype.kind == "f"
    except AttributeError:
        return _several(node, data)
    if not real:
        raise DtypeError(
            f"{op.name}: gradients are for real floats, but the result is {data.dtype}; inputs "
            + ", ".join(_describe(x) for x in inputs)
        )
    return node


def apply(op: Op, args: tuple[Any, ...], options: Mapping[str, Any] = NO_OPTIONS) -> Any:
    """Apply an op to the arguments of a call, in whatever form NumPy allows them.

    Raises:
        UnsupportedError: if an option has no gradient rule.
    """
    if len(args) != op.arity or (options and not options.keys() <= op.direct_options):
        if op.composed is not None:
            return _composed(op, args, options)
        if not op.rules:
            return _without_gradient(op, args, options)
        args, options = op.bind(*args, **options)
    if options:
        options = {
            key: value if type(value) in _IMMUTABLE else _frozen(value, op, key)
            for key, value in options.items()
        }
    return record(op, args, options)


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a NumPy function with Tensors among its arguments.

    Raises:
        UnsupportedError: if the function or an option has no gradient rule.
    """
    op = REGISTRY.get(function)
    if op is None:
        if "scipy.special" in sys.modules:  # whose functions may not have been registered yet
            register_scipy()
            op = REGISTRY.get(function)
        if op is None:
            raise UnsupportedError(_unsupported(function))
    return apply(op, args, options)


class Tensor(Node):
    """An array with a gradient.

    Works with Python's operators, NumPy's functions and ndarray's methods; what is computed from
    a Tensor with `requires_grad` is recorded, until `backward()` walks the record.

    Args:
        data: numbers: a scalar, a (nested) list or an array, which is copied. An array of another
            kind that speaks NumPy's protocols (Dask, CuPy) is kept as it is.
        requires_grad: whether `backward()` shall leave a gradient in `.grad`.
        name: shown in messages and pictures.
        dtype: by default that of `data`; a gradient needs a float.

    Raises:
        DtypeError: if the data are no numbers, or `requires_grad` is asked of integers.
        GraphError: if `data` is (or contains) a tracked Tensor, whose graph would be lost.
    """

    __slots__ = ()
    __array_priority__ = 1000.0  # ndarray and NumPy scalars on the left defer to us

    def __init__(
        self,
        data: Any,
        requires_grad: bool = False,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if isinstance(data, Tensor):
            data._refuse_if_tracked("Tensor(t)", "t itself")
            data = data._array
        if isinstance(data, np.ndarray):
            _refuse_masked(data)
            data = np.array(data, dtype=dtype)
        elif not hasattr(type(data), "__array_function__"):
            data = np.array(data, dtype=dtype)
        elif dtype is not None:
            data = data.astype(dtype)
        if data.dtype.kind not in "biufc":
            raise DtypeError(f"Tensor: expected numbers, got dtype {data.dtype}")
        _init_leaf(self, data)
        if name is not None:
            self.name = name
        if requires_grad:
            self.requires_grad = True

    # -- what it is ------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The array. Of a leaf it may be written into, or assigned anew (same shape and dtype).

        While a graph holds a leaf's array, a fresh copy is handed out and becomes the leaf's, so
        that gradients stay those of the values they were computed from. So take it anew after
        each forward pass: an array taken before may no longer be the leaf's.
        """
        if self._op is not None:
            return _read_only(self._array)
        if self._held:
            # More references than ours mean that a graph, or a view in one, may need the array.
            shared = getrefcount(self._array) > _OWN_REFERENCES
            if shared or getattr(self._array, "base", None) is not None:
                self._array = self._array.copy()
            self._held = False
        return self._array

    @data.setter
    def data(self, value: Array) -> None:
        if value is self._array:  # t.data -= ... ends here
            return
        if self._op is not None:
            raise GraphError(
                f"Tensor.data: the result of {self._op.name} cannot be changed, only a leaf can; "
                "use a new name, or detach() first"
            )
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if isinstance(value, Node) or shape != self.shape or dtype != self.dtype:
            raise InputError(
                f"Tensor.data: expected an array of shape {self.shape} and dtype {self.dtype}, got "
                f"{_describe(value)}" + (f" for {self.name!r}" if self.name else "")
            )
        if isinstance(value, (np.ndarray, np.generic)):
            _refuse_masked(value)
            value = np.array(value)  # 0-d results are NumPy scalars; subclasses stay outside
        else:
            value = value.copy()
        self._array = value
        self._held = False

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted for it, or for something it was computed from."""
        return self._tracked

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self._op is not None and not wanted:
            raise GraphError(
                f"requires_grad: the result of {self._op.name} depends on tensors that require a "
                "gradient; use detach() to leave the graph"
            )
        if wanted and self._array.dtype.kind != "f":
            raise DtypeError(
                f"requires_grad: expected a float dtype, got {self._array.dtype}"
                + (f" for {self.name!r}" if self.name else "")
                + "; use Tensor(data, dtype=float, requires_grad=True)"
            )
        self._tracked = bool(wanted)

    @property
    def shape(self) -> tuple[int, ...]:
        """See `ndarray.shape`."""
        shape: tuple[int, ...] = self._array.shape
        return shape

    @property
    def ndim(self) -> int:
        """See `ndarray.ndim`."""
        return len(self._array.shape)

    @property
    def size(self) -> int:
        """See `ndarray.size`."""
        size: int = self._array.size
        return size

    @property
    def dtype(self) -> np.dtype[Any]:
        """See `ndarray.dtype`."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    @property
    def itemsize(self) -> int:
        """See `ndarray.itemsize`."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """See `ndarray.nbytes`."""
        return self.size * self.itemsize

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user (or is a constant), not by a recorded op."""
        return self._op is None

    @property
    def node(self) -> Record | None:
        """The op, inputs and options that made it; None for a leaf."""
        return None if self._op is None else Record(self._op, self._inputs, self._options)

    # -- gradients -------------------------------------------------------------------------

    def backward(self, g: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor to the `.grad` of every leaf it depends on.

        Args:
            g: cotangent to start from, same shape; may be left out for one element (then 1).
            retain_graph: keep the graph for another backward pass.

        Raises:
            GraphError: if it needs no gradient, or the graph was freed by an earlier pass.
            InputError: if `g` is missing, or it or a `.grad` to add to has another shape.
        """
        if not self._tracked:
            raise GraphError(
                "backward: this tensor needs no gradient: nothing that it was computed from has "
                "requires_grad=True"
                + ("" if MODE.get().recording else " (inside no_grad)")
                + "; write w = tg.Tensor(data, requires_grad=True), and update it by "
                "w.data -= ...: w -= ... makes a new tensor"
            )
        if isinstance(g, Tensor) and g._tracked:
            raise GraphError(
                "backward: g is tracked, and .grad is plain data; use "
                "tg.gradients(y, xs, g=..., create_graph=True), or pass g.detach()"
            )
        found = backpropagate({self: seed(self, g, "backward")}, retain_graph=retain_graph)
        for tensor in found:  # before one of them is changed
            shape = tensor._array.shape
            if tensor.grad is not None and getattr(tensor.grad, "shape", None) != shape:
                name = f" of {tensor.name!r}" if tensor.name else ""
                raise InputError(
                    f"backward: expected a .grad{name} of shape {shape} to add to, got "
                    f"{_describe(tensor.grad)}; set it to None"
                )
        for tensor, grad in found.items():
            if tensor._op is not None:
                grad = grad.copy()  # of a result: other nodes may share the array
            if tensor.grad is not None:
                grad = tensor.grad + grad
            dtype = tensor._array.dtype
            if isinstance(grad, np.generic) or grad.dtype is not dtype:  # 0-d, or the byte order
                grad = np.asarray(grad, dtype=dtype)
            tensor.grad = grad

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def retain_grad(self) -> None:
        """Let `backward()` leave a gradient here although this is no leaf."""
        if not self._tracked:
            raise GraphError("retain_grad: this tensor needs no gradient")
        self._note("retain", True)

    def detach(self) -> Tensor:
        """The same numbers, outside the graph."""
        self._held = True
        return _constant(self._array)

    def _outputs(self) -> tuple[Any, ...]:
        return tuple(record(SELECT, (self,), {"index": index}) for index in range(len(self._array)))

    # -- reading ---------------------------------------------------------------------------

    def numpy(self) -> np.ndarray[Any, Any]:
        """The numbers as an ndarray; of a leaf the same memory as `.data`."""
        return np.asarray(self.data)

    def item(self) -> Any:
        """The one element as a Python number.

        Raises:
            InputError: if there is not exactly one.
        """
        if self.size != 1:
            raise InputError(f"item: expected one element, got shape {self.shape}")
        return np.asarray(self._array).item()

    def tolist(self) -> Any:
        """See `ndarray.tolist`."""
        return np.asarray(self._array).tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise InputError(
                f"bool: the truth of a Tensor of shape {self.shape} is ambiguous; "
                "use np.any(t) or np.all(t)"
            )
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        if spec and self.size != 1:
            raise InputError(
                f"format: {spec!r} is for one element, this Tensor has shape {self.shape}"
            )
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        if type(self._array) is tuple:  # seen only as an input in `node.inputs`
            parts = [f"{len(self._array)} results"]
        elif self.size <= 8 and isinstance(self._array, (np.ndarray, np.generic)):
            numbers = np.array2string(np.asarray(self._array), separator=", ")
            parts = [numbers.replace("\n", ""), str(self.dtype)]
        else:
            parts = [f"shape={self.shape}", str(self.dtype)]
        if self.name:
            parts.append(f"name={self.name!r}")
        if self._op is not None:
            parts.append(f"op={self._op.name}")
        if self._tracked:
            parts.append("requires_grad=True")
        return f"Tensor({', '.join(parts)})"

    def __len__(self) -> int:
        if not self.shape:
            raise DtypeError("len: a 0-d Tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(unstack(self) if len(self) else ())

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self)} - {*ELSEWHERE})

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(plain(self == value)))

    def __float__(self) -> float:
        self._refuse_if_tracked(
            "float(t)", "t.item() to read the number; for math.sin(t) and the like write np.sin(t)"
        )
        return float(self.item())

    def __int__(self) -> int:
        self._refuse_if_tracked("int(t)", "t.item() to read the number")
        return int(self.item())

    def __complex__(self) -> complex:
        self._refuse_if_tracked("complex(t)", "t.item() to read the number")
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.shape:
            raise DtypeError(f"index: expected a 0-d integer, got {_describe(self)}")
        return int(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        self._refuse_if_tracked(
            "conversion to an ndarray",
            "np.stack([t, u]) to join tensors, np.broadcast_to(t, shape) to fill an array",
        )
        return np.array(self._array, dtype=dtype, copy=True if copy is None else copy)

    def _refuse_if_tracked(self, what: str, instead: str) -> None:
        if self._tracked:
            raise GraphError(
                f"{what} would silently drop the graph of {_describe(self)}; use t.detach() to "
                f"leave the graph on purpose, or {instead}"
            )

    # -- copying ---------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        if self._op is not None:
            raise GraphError(
                f"copy, deepcopy and pickle work on leaves only, this is the result of "
                f"{self._op.name}; use detach()"
            )
        grad = None if self.grad is None else self.grad.copy()
        return _rebuild, (self.data, self._tracked, self.name, grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return copy.copy(self)  # which copies the data already

    # -- operators: straight to `record` -----------------------------------------------------

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Tensor:
        return record(_GETITEM, (self, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._tracked or (isinstance(value, Tensor) and value._tracked):
            raise GraphError(
                "t[index] = value would change what the graph was computed from; use "
                "t = tg.index_update(t, index, value), or t.data[index] = value on a leaf"
            )
        self.data[_frozen(index)] = plain(value)

    def __neg__(self) -> Tensor:
        return record(_NEGATIVE, (self,))

    def __pos__(self) -> Tensor:
        return call(np.positive, self)

    def __abs__(self) -> Tensor:
        return call(np.absolute, self)

    def __invert__(self) -> Tensor:
        return call(np.invert, self)

    def __add__(self, other: Any) -> Tensor:
        return record(_ADD, (self, other))

    def __radd__(self, other: Any) -> Tensor:
        return record(_ADD, (other, self))

    def __sub__(self, other: Any) -> Tensor:
        return record(_SUBTRACT, (self, other))

    def __rsub__(self, other: Any) -> Tensor:
        return record(_SUBTRACT, (other, self))

    def __mul__(self, other: Any) -> Tensor:
        return record(_MULTIPLY, (self, other))

    def __rmul__(self, other: Any) -> Tensor:
        return record(_MULTIPLY, (other, self))

    def __truediv__(self, other: Any) -> Tensor:
        return record(_DIVIDE, (self, other))

    def __rtruediv__(self, other: Any) -> Tensor:
        return record(_DIVIDE, (other, self))

    def __matmul__(self, other: Any) -> Tensor:
        return record(_MATMUL, (self, other))

    def __rmatmul__(self, other: Any) -> Tensor:
        return record(_MATMUL, (other, self))

    def __pow__(self, other: Any) -> Tensor:
        return record(_POWER, (self, other))

    def __rpow__(self, other: Any) -> Tensor:
        return record(_POWER, (other, self))

    def __mod__(self, other: Any) -> Tensor:
        return call(np.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return call(np.remainder, other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return call(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return call(np.floor_divide, other, self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return call(np.divmod, self, other)

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return call(np.divmod, other, self)

    def __and__(self, other: Any) -> Tensor:
        return call(np.bitwise_and, self, other)

    def __or__(self, other: Any) -> Tensor:
        return call(np.bitwise_or, self, other)

    def __xor__(self, other: Any) -> Tensor:
        return call(np.bitwise_xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]  # elementwise, as ndarray
        return call(np.equal, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]  # elementwise, as ndarray
        return call(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return call(np.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return call(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return call(np.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return call(np.greater_equal, self, other)

    # -- ndarray's methods -------------------------------------------------------------------

    def sum(self, *args: Any, **options: Any) -> Tensor:
        """See `np.sum`."""
        return call(np.sum, self, *args, **options)

    def mean(self, *args: Any, **options: Any) -> Tensor:
        """See `np.mean`."""
        return call(np.mean, self, *args, **options)

    def max(self, *args: Any, **options: Any) -> Tensor:
        """See `np.max`."""
        return call(np.max, self, *args, **options)

    def min(self, *args: Any, **options: Any) -> Tensor:
        """See `np.min`."""
        return call(np.min, self, *args, **options)

    def prod(self, *args: Any, **options: Any) -> Tensor:
        """See `np.prod`."""
        return call(np.prod, self, *args, **options)

    def var(self, *args: Any, **options: Any) -> Tensor:
        """See `np.var`."""
        return call(np.var, self, *args, **options)

    def std(self, *args: Any, **options: Any) -> Tensor:
        """See `np.std`."""
        return call(np.std, self, *args, **options)

    def cumsum(self, *args: Any, **options: Any) -> Tensor:
        """See `np.cumsum`."""
        return call(np.cumsum, self, *args, **options)

    def cumprod(self, *args: Any, **options: Any) -> Tensor:
        """See `np.cumprod`."""
        return call(np.cumprod, self, *args, **options)

    def argmax(self, *args: Any, **options: Any) -> Tensor:
        """See `np.argmax`."""
        return call(np.argmax, self, *args, **options)

    def argmin(self, *args: Any, **options: Any) -> Tensor:
        """See `np.argmin`."""
        return call(np.argmin, self, *args, **options)

    def all(self, *args: Any, **options: Any) -> Tensor:
        """See `np.all`."""
        return call(np.all, self, *args, **options)

    def any(self, *args: Any, **options: Any) -> Tensor:
        """See `np.any`."""
        return call(np.any, self, *args, **options)

    def clip(self, *bounds: Any, **options: Any) -> Tensor:
        """See `np.clip`."""
        return call(np.clip, self, *bounds, **options)

    def reshape(self, *shape: Any, **options: Any) -> Tensor:
        """See `np.reshape`; the shape as one tuple or as several numbers."""
        return call(np.reshape, self, shape[0] if len(shape) == 1 else shape, **options)

    def ravel(self, *args: Any, **options: Any) -> Tensor:
        """See `np.ravel`."""
        return call(np.ravel, self, *args, **options)

    def flatten(self, *args: Any, **options: Any) -> Tensor:
        """See `ndarray.flatten`; a Tensor's results are never written into, so no copy is made."""
        return call(np.ravel, self, *args, **options)

    def transpose(self, *axes: Any) -> Tensor:
        """See `np.transpose`; the axes as one tuple or as several numbers."""
        return call(np.transpose, self, axes[0] if len(axes) == 1 else axes or None)

    @property
    def T(self) -> Tensor:  # ndarray's name
        """All axes reversed."""
        return call(np.transpose, self)

    @property
    def mT(self) -> Tensor:  # ndarray's name
        """The last two axes exchanged, as `np.matrix_transpose` does it."""
        if self.ndim < 2:
            raise InputError(f"mT: expected two axes or more, got shape {self.shape}")
        return call(np.swapaxes, self, -1, -2)

    @property
    def real(self) -> Tensor:
        """See `np.real`."""
        return call(np.real, self)

    @property
    def imag(self) -> Tensor:
        """See `np.imag`."""
        return call(np.imag, self)

    def conj(self) -> Tensor:
        """See `np.conjugate`."""
        return call(np.conjugate, self)

    conjugate = conj

    def swapaxes(self, axis1: SupportsIndex, axis2: SupportsIndex) -> Tensor:
        """See `np.swapaxes`."""
        return call(np.swapaxes, self, axis1, axis2)

    def squeeze(self, *args: Any, **options: Any) -> Tensor:
        """See `np.squeeze`."""
        return call(np.squeeze, self, *args, **options)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """See `np.diagonal`."""
        return call(np.diagonal, self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, **options: Any) -> Tensor:
        """See `np.trace`."""
        return call(np.trace, self, offset, axis1, axis2, **options)

    def take(self, indices: Any, *args: Any, **options: Any) -> Tensor:
        """See `np.take`."""
        return call(np.take, self, indices, *args, **options)

    def repeat(self, *args: Any, **options: Any) -> Tensor:
        """See `np.repeat`."""
        return call(np.repeat, self, *args, **options)

    def round(self, *args: Any, **options: Any) -> Tensor:
        """See `np.round`; its gradient is 0."""
        return call(np.round, self, *args, **options)

    def argsort(self, *args: Any, **options: Any) -> Tensor:
        """See `np.argsort`."""
        return call(np.argsort, self, *args, **options)

    def argpartition(self, *args: Any, **options: Any) -> Tensor:
        """See `np.argpartition`."""
        return call(np.argpartition, self, *args, **options)

    def searchsorted(self, v: Any, *args: Any, **options: Any) -> Tensor:
        """See `np.searchsorted`."""
        return call(np.searchsorted, self, v, *args, **options)

    def compress(self, condition: Any, *args: Any, **options: Any) -> Tensor:
        """See `np.compress`."""
        return call(np.compress, condition, self, *args, **options)

    def choose(self, choices: Any, *args: Any, **options: Any) -> Tensor:
        """See `np.choose`."""
        return call(np.choose, self, choices, *args, **options)

    def nonzero(self) -> tuple[Tensor, ...]:
        """See `np.nonzero`."""
        return call(np.nonzero, self)

    def dot(self, other: Any) -> Tensor:
        """See `np.dot`."""
        return call(np.dot, self, other)

    def copy(self, order: str = "C") -> Tensor:
        """A copy that the gradient flows through; see `ndarray.copy`."""
        return call(np.copy, self, order=order)

    def astype(self, dtype: Any, copy: bool = True) -> Tensor:
        """In another dtype; the gradient comes back in this one's.

        Args:
            dtype: what to convert to.
            copy: as for `ndarray.astype`; results are never written into, so it changes nothing.
        """
        return call(astype, self, dtype=dtype)

    # -- NumPy's protocols: the same for its functions and for our own ops ---------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        if options and any(out is not None for out in options.pop("out", ())):
            raise UnsupportedError(
                f"{ufunc.__name__}: writing a Tensor into an existing array (out=, or array += t) "
                "would drop the graph; use the result instead: a = a + t"
            )
        if method != "__call__":
            return call_method(ufunc, method, args, options)
        if options and ufunc.signature is None:
            return call_with_options(ufunc, args, options)
        return call(ufunc, *args, **{key: x for key, x in options.items() if x is not None})

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return call(function, *args, **options)

    __op__ = staticmethod(apply)


def seed(output: Tensor, g: Any, caller: str) -> Array:
    """The cotangent that a backward pass starts from, checked, as a plain array.

    Raises:
        InputError: if `g` is missing for more than one element, or has another shape.
        DtypeError: if `g` is not real.
    """
    data = output._array
    if g is None:
        if data.size != 1:
            raise InputError(
                f"{caller}: g may be left out for one-element outputs only, this one has shape "
                f"{output.shape}; pass g with that shape, or reduce the output (np.sum, np.mean)"
            )
        if isinstance(data, (np.ndarray, np.generic)) and data.ndim == 0:
            return data.dtype.type(1)
        return np.ones_like(data)
    g = plain(g)
    _refuse_masked(g)
    if isinstance(g, np.ndarray) or not hasattr(type(g), "__array_function__"):
        g = np.asarray(g)  # without what a subclass means by `*`
    if tuple(g.shape) != tuple(data.shape):
        raise InputError(f"{caller}: g must have the output's shape {output.shape}, got {g.shape}")
    if g.dtype.kind not in "biuf":
        raise DtypeError(f"{caller}: g must be real, got dtype {g.dtype}")
    return g.astype(data.dtype)  # a copy: the caller may go on writing into its own


@op(wrt("outputs", lambda g, out, outputs, *, index: {index: g}))
def select(outputs: tuple[Array, ...], *, index: int) -> Array:
    """One of several outputs; the engine fills those that nobody used with zeros."""
    return outputs[index]


SELECT = REGISTRY[select]
_ADD, _SUBTRACT = REGISTRY[np.add], REGISTRY[np.subtract]
_MULTIPLY, _DIVIDE = REGISTRY[np.multiply], REGISTRY[np.divide]
_NEGATIVE, _POWER = REGISTRY[np.negative], REGISTRY[np.power]
_MATMUL, _GETITEM = REGISTRY[np.matmul], REGISTRY[getitem]
_new: Callable[[type[Tensor]], Tensor] = object.__new__

for _name, _instead in ELSEWHERE.items():
    setattr(Tensor, _name, Missing(_name, _instead))


def _several(node: Tensor, data: Any) -> Any:
    """The results of an op with several outputs, in the kind of tuple or list that it returned."""
    if not isinstance(data, (tuple, list)):
        assert node._op is not None, "only recorded nodes come here"
        raise RuleError(
            f"{node._op.name}: an op must return an array or a tuple of arrays, got "
            f"{type(data).__name__}"
        )
    node._array = tuple(data)
    make: Callable[[Any], Any] = getattr(type(data), "_make", type(data))  # a named tuple's
    return make(node._outputs())


def _refuse_masked(array: Any) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise DtypeError(
            "a masked array would lose its mask; use array.filled(value), or np.where(mask, ...)"
        )


def _init_leaf(tensor: Tensor, data: Array) -> None:
    tensor._array = data
    tensor._op = None
    tensor._inputs = ()
    tensor._values = None
    tensor._options = NO_OPTIONS
    tensor._tracked = False
    tensor._held = False
    tensor._meta = None
    tensor.grad = None


def _constant(data: Any) -> Any:
    """Wrap what an op computed that needs no gradient; plain answers (`np.shape`) stay plain."""
    if isinstance(data, (tuple, list)):
        make: Callable[[Any], Any] = getattr(type(data), "_make", type(data))  # a named tuple's
        return make(_constant(part) for part in data)
    if not hasattr(data, "dtype"):
        return data
    tensor = _new(Tensor)
    _init_leaf(tensor, np.asarray(data) if isinstance(data, np.generic) else data)
    tensor._held = True  # it may be a view of another tensor's data
    return tensor


def _rebuild(data: Array, requires_grad: bool, name: str | None, grad: Array | None) -> Tensor:
    tensor = Tensor(data, requires_grad, name)
    tensor.grad = grad
    return tensor


def _composed(op: Op, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    assert op.composed is not None, "asked by the caller"
    try:
        return op.composed(*args, **options)
    except AutogradError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        raise _explained(error, op, args, options) from error


def _without_gradient(op: Op, args: Any, options: Mapping[str, Any]) -> Any:
    """Apply an op that has no rules, whose result needs no gradient."""
    forward = op.public if MODE.get().by_name else op.forward
    try:
        data = forward(
            *(_untracked(arg) for arg in args),
            **{key: _untracked(value) for key, value in options.items()},
        )
    except (ValueError, TypeError, IndexError) as error:
        raise _explained(error, op, tuple(args), options) from error
    return _constant(data)


def _untracked(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_untracked(part) for part in value)
    if isinstance(value, Node):
        value._held = True
    return plain(value)


def _frozen(value: Any, op: Op | None = None, argument: int | str = "index") -> Any:
    """What a graph may keep of an argument whose owner may change it later."""
    option = isinstance(argument, str)
    if option and type(value) is tuple and _IMMUTABLE.issuperset(map(type, value)):
        return value  # axes, a shape
    if isinstance(value, Tensor):
        if value._tracked:
            where = "" if op is None else f"{op.name}: "
            name = argument if op is None or isinstance(argument, str) else op.argument(argument)
            raise UnsupportedError(
                f"{where}no gradient is defined for argument {name!r}, but it is tracked: "
                f"{_describe(value)}; pass t.detach() if none is wanted"
            )
        value._held = True
        return value._array
    if isinstance(value, np.ndarray):
        _refuse_masked(value)
        if type(value) is np.ndarray and value.base is None and not value.flags.writeable:
            return value
        return np.array(value)  # not copy(): a subclass (np.matrix) may mean another `*` by it
    array_expected = isinstance(argument, int) and op is not None and op.rule(argument) is not None
    if isinstance(value, (list, tuple)):
        if array_expected:
            return _frozen(np.array(value), op, argument)
        if isinstance(value, list) and isinstance(argument, int):  # an index: t[[0, 2]]
            return np.array(value) if value else np.array([], int)
        return type(value)(_frozen(part, op, argument) for part in value)
    if array_expected and not hasattr(type(value), "__array_function__"):
        array = np.array(value)
        if array.dtype.kind not in "biufc":
            assert op is not None, "arguments with rules belong to an op"
            raise DtypeError(
                f"{op.name}: expected numbers for argument {op.argument(int(argument))!r}, got "
                f"{type(value).__name__}"
            )
        return array
    return value.copy() if hasattr(type(value), "__array_function__") else value


def _check_rules(op: Op, inputs: tuple[Any, ...]) -> None:
    for position, x in enumerate(inputs):
        if isinstance(x, Tensor) and x._tracked and op.rule(position) is None:
            raise UnsupportedError(
                f"{op.name}: no gradient is defined for argument {op.argument(position)!r}, but it "
                f"is tracked: {_describe(x)}; pass t.detach() if none is wanted"
            )


def _check_finite(op: Op, inputs: tuple[Any, ...], data: Any) -> None:
    for part in data if isinstance(data, (tuple, list)) else (data,):
        if not hasattr(part, "dtype") or part.dtype.kind != "f" or np.isfinite(part).all():
            continue
        given = ", ".join(_describe(x) for x in inputs)
        raise AnomalyError(f"{op.name}: made a non-finite value from {given} at {_user_line()}")


def _annotate(node: Tensor, mode: Mode) -> None:
    if mode.scope:
        node._note("scope", (mode.scope, mode.entries))
    if mode.journal is not None:
        mode.journal.append(node)
    if mode.anomaly:
        node._note("line", _user_line())
        node._note("fingerprint", fingerprint(tuple(node._values)))


def _user_line() -> str:
    """File and line of the innermost caller outside this package and NumPy."""
    frame = sys._getframe(1)
    inside = ("tinygrad_edu.", "numpy.")
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(inside):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _read_only(data: Any) -> Any:
    """A look at a recorded result: what its consumers computed with must not change."""
    if isinstance(data, np.generic):
        data = np.asarray(data)
    if isinstance(data, np.ndarray):
        data = data.view()
        data.flags.writeable = False
    return data


def _describe(value: Any) -> str:
    if isinstance(value, Node):
        name = f" {value.name!r}" if value.name else ""
        return f"Tensor{name} of shape {value._array.shape} and dtype {value._array.dtype}"
    if hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {value.shape} and dtype {value.dtype}"
    return f"{type(value).__name__} {value!r}"[:80]


def _explained(
    error: Exception, op: Op, inputs: tuple[Any, ...], options: Mapping[str, Any]
) -> AutogradError:
    """NumPy's complaint, with the op and what it was given."""
    if isinstance(error, IndexError):  # first: NumPy's AxisError is a ValueError too
        kind: type[AutogradError] = IndexingError
    elif isinstance(error, np.linalg.LinAlgError):
        kind = LinAlgError
    else:
        kind = InputError if isinstance(error, ValueError) else DtypeError
    given = [f"{op.argument(i)}: {_describe(x)}" for i, x in enumerate(inputs)]
    given += [f"{key}={value!r}"[:80] for key, value in options.items()]
    return kind(f"{op.name}({', '.join(given)}): {error}")


def _unsupported(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", str(function))
    module = getattr(function, "__module__", None) or ""
    if getattr(np, name, None) is function:
        module = "np"
    name = f"{module.replace('numpy', 'np', 1)}.{name}" if module else name
    instead = INSTEAD.get(function)
    return f"{name}: has no gradient rule; " + (
        f"use {instead}, or detach() first"
        if instead
        else "register one (tg.register), write it with functions that have one, or compute with "
        "t.detach().data, outside the graph"
    )


_PROBE = Tensor(0.0)
_OWN_REFERENCES = getrefcount(_PROBE._array)  # asked as in `Tensor.data`; Pythons differ

"""What to write instead: functions and attributes that Tensor does not have, but users look for."""

from __future__ import annotations

from typing import Any

import numpy as np

# In the place of functions that have no rule: most of them write into an array.
INSTEAD: dict[Any, str] = {
    np.copyto: "np.broadcast_to(t, shape) instead of np.full or np.full_like, tg.index_update to "
    "write elements",
    np.putmask: "np.where(mask, value, t)",
    np.place: "np.where(mask, value, t)",
    np.put: "tg.index_update(t, index, value)",
    np.fill_diagonal: "np.where(np.eye(n, dtype=bool), value, t)",
    np.put_along_axis: "tg.index_update(t, index, value), or tg.scatter_add",
    np.trim_zeros: "a slice, with indices found on t.data",
    np.polyfit: "np.linalg.lstsq(np.vander(x, n), y)",
    np.linalg.eig: "np.linalg.eigh for a symmetric matrix (eigenvalues of others may be complex)",
    np.linalg.eigvals: "np.linalg.eigvalsh for a symmetric matrix (others' may be complex)",
}


class Missing:
    """An attribute that Tensor has not, but users look for; the error says what to write.

    (`Tensor.__getattr__` would do it for all, and make every access to an attribute slower.)
    """

    __slots__ = ("instead", "name")

    def __init__(self, name: str, instead: str) -> None:
        self.name, self.instead = name, instead

    def __get__(self, tensor: object, owner: type) -> Any:
        raise AttributeError(
            f"Tensor has no attribute {self.name!r}; use {self.instead}", name=self.name, obj=tensor
        )


# What works in place on an ndarray, and what users of PyTorch look for first.
ELSEWHERE = {
    "sort": "np.sort(t), which returns a new Tensor",
    "partition": "np.partition(t, kth), which returns a new Tensor",
    "resize": "np.resize(t, shape), which returns a new Tensor",
    "fill": "np.full_like(t, value), or t.data[...] = value on a leaf",
    "put": "tg.index_update(t, index, value)",
    "flat": "np.ravel(t)",
    "view": "t.reshape(shape), or t.astype(dtype)",
    "strides": "t.data.strides",
    "flags": "t.data.flags",
    "tobytes": "t.data.tobytes()",
    "unsqueeze": "np.expand_dims(t, axis)",
    "permute": "np.transpose(t, axes)",
    "expand": "np.broadcast_to(t, shape)",
    "dim": "t.ndim",
    "numel": "t.size",
    "norm": "np.linalg.norm(t)",
    "float": "t.astype(np.float32)",
    "double": "t.astype(np.float64)",
    "to": "t.astype(dtype)",
    "cpu": "t itself: it is on the CPU",
    "contiguous": "t itself",
    "clone": "t.copy()",
    "requires_grad_": "t.requires_grad = True",
    "matmul": "t @ other",
    "mm": "t @ other",
    "masked_fill": "tg.masked_fill(t, mask, value)",
    "gather": "np.take_along_axis(t, index, axis)",
}
_UFUNCS = ("abs", "cos", "exp", "log", "log1p", "power", "sign", "sin", "sqrt", "square", "tanh")
_ACTIVATIONS = ("gelu", "log_softmax", "logsumexp", "relu", "sigmoid", "softmax", "softplus")
ELSEWHERE |= {_name: f"np.{_name}(t)" for _name in _UFUNCS}
ELSEWHERE |= {_name: f"tg.{_name}(t)" for _name in _ACTIVATIONS}

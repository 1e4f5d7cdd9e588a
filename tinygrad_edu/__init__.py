"""tinygrad_edu: automatic differentiation from scratch, on NumPy.

import numpy as np
import tinygrad_edu as tg

x = tg.Tensor([1.0, 2.0], requires_grad=True)
y = np.sum(np.tanh(x) ** 2)
y.backward()
print(x.grad)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_edu.domain import Domain
from tinygrad_edu.errors import (
    AnomalyError,
    AutogradError,
    DtypeError,
    GradientError,
    GraphError,
    IndexingError,
    InputError,
    RuleError,
    UnsupportedError,
)
from tinygrad_edu.mode import (
    Edge,
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    no_grad,
    observe,
    scope,
)
from tinygrad_edu.op import Op, Rule, op, register, unregister, wrt
from tinygrad_edu.ops.activations import (
    elu,
    erf,
    gelu,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.index import embedding, getitem, index_update, scatter_add
from tinygrad_edu.ops.linalg import linear
from tinygrad_edu.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
    nll_loss,
)
from tinygrad_edu.ops.reduce import logsumexp
from tinygrad_edu.ops.shape import astype, unstack
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.trace import Program, trace
from tinygrad_edu.transforms import (
    checkpoint,
    elementwise_grad,
    grad,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

if TYPE_CHECKING:
    from tinygrad_edu.check import check_gradients
    from tinygrad_edu.testing import check_derivation, check_op

__version__ = "0.1.0"

__all__ = [
    "AnomalyError",
    "AutogradError",
    "Domain",
    "DtypeError",
    "Edge",
    "GradientError",
    "GraphError",
    "IndexingError",
    "InputError",
    "Op",
    "Program",
    "Rule",
    "RuleError",
    "Tensor",
    "UnsupportedError",
    "astype",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "check_derivation",
    "check_gradients",
    "check_op",
    "checkpoint",
    "cross_entropy",
    "detect_anomaly",
    "elementwise_grad",
    "elu",
    "embedding",
    "enable_grad",
    "erf",
    "gelu",
    "getitem",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "index_update",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "no_grad",
    "observe",
    "op",
    "register",
    "relu",
    "safe_multiply",
    "scatter_add",
    "scope",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "trace",
    "unregister",
    "unstack",
    "value_and_grad",
    "vjp",
    "wrt",
]

# Loaded on first use: they need Hypothesis, or time that `import tinygrad_edu` should not take.
_ON_DEMAND = {
    "check_derivation": "tinygrad_edu.testing",
    "check_gradients": "tinygrad_edu.check",
    "check_op": "tinygrad_edu.testing",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module 'tinygrad_edu' has no attribute {name!r}")
    return getattr(import_module(_ON_DEMAND[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})

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
    LinAlgError,
    RuleError,
    UnsupportedError,
)
from tinygrad_edu.formula import formula
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
    erf,
    gelu,
    glu,
    log_sigmoid,
    log_softmax,
    mish,
    quick_gelu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softsign,
    squareplus,
)
from tinygrad_edu.ops.attention import scaled_dot_product_attention
from tinygrad_edu.ops.classification import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    nll_loss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from tinygrad_edu.ops.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from tinygrad_edu.ops.determinants import cofactor
from tinygrad_edu.ops.elementwise import lerp, rsqrt, safe_multiply
from tinygrad_edu.ops.index import (
    embedding,
    getitem,
    index_update,
    masked_select,
    scatter_add,
)
from tinygrad_edu.ops.joining import chunk, unstack
from tinygrad_edu.ops.likelihoods import (
    gaussian_kl,
    gaussian_nll_loss,
    kl_div,
    poisson_nll_loss,
)
from tinygrad_edu.ops.linalg import bilinear, block_diag, linear
from tinygrad_edu.ops.losses import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from tinygrad_edu.ops.margins import (
    contrastive_loss,
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    negative_sampling_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from tinygrad_edu.ops.matrix_functions import expm, expm_frechet, newton_schulz, sqrtm
from tinygrad_edu.ops.normalisation import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    normalize,
    rms_norm,
)
from tinygrad_edu.ops.order import stable_argsort, topk
from tinygrad_edu.ops.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from tinygrad_edu.ops.random import (
    dropout,
    exponential,
    gumbel,
    gumbel_softmax,
    laplace,
    logistic,
    lognormal,
    normal,
    uniform,
)
from tinygrad_edu.ops.rectifiers import (
    celu,
    clipped_relu,
    crelu,
    elu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    maxout,
    prelu,
    relu,
    relu6,
    selu,
    softshrink,
    threshold,
)
from tinygrad_edu.ops.reduce import logsumexp
from tinygrad_edu.ops.resampling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    interpolate,
    max_unpool2d,
    pixel_shuffle,
    pixel_unshuffle,
)
from tinygrad_edu.ops.scans import cummax, cummin, linear_recurrence, logcumsumexp
from tinygrad_edu.ops.selection import masked_fill
from tinygrad_edu.ops.shape import astype, unflatten
from tinygrad_edu.ops.solves import solve_sylvester, solve_triangular
from tinygrad_edu.ops.special import erfinv, logit, multigammaln, polygamma, xlogy, zeta
from tinygrad_edu.ops.statistics import std_mean, var_mean
from tinygrad_edu.ops.trigonometry import (
    arccot,
    arccoth,
    arccsc,
    arccsch,
    arcsec,
    arcsech,
    cot,
    coth,
    csc,
    csch,
    sec,
    sech,
)
from tinygrad_edu.ops.windows import fold, unfold
from tinygrad_edu.sparse import RowSparse
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
    from tinygrad_edu import data, nn, optim
    from tinygrad_edu.check import check_gradients
    from tinygrad_edu.derivation import check_derivation
    from tinygrad_edu.testing import check_op

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
    "LinAlgError",
    "Op",
    "Program",
    "RowSparse",
    "Rule",
    "RuleError",
    "Tensor",
    "UnsupportedError",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "arccot",
    "arccoth",
    "arccsc",
    "arccsch",
    "arcsec",
    "arcsech",
    "astype",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "block_diag",
    "celu",
    "check_derivation",
    "check_gradients",
    "check_op",
    "checkpoint",
    "chunk",
    "clipped_relu",
    "cofactor",
    "contrastive_loss",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cot",
    "coth",
    "crelu",
    "cross_entropy",
    "csc",
    "csch",
    "cummax",
    "cummin",
    "data",
    "detect_anomaly",
    "dropout",
    "elementwise_grad",
    "elu",
    "embedding",
    "enable_grad",
    "erf",
    "erfinv",
    "expm",
    "expm_frechet",
    "exponential",
    "fold",
    "formula",
    "gaussian_kl",
    "gaussian_nll_loss",
    "gelu",
    "getitem",
    "glu",
    "grad",
    "gradients",
    "group_norm",
    "gumbel",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hessian",
    "hinge_embedding_loss",
    "huber_loss",
    "hvp",
    "index_update",
    "instance_norm",
    "interpolate",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "kl_div",
    "l1_loss",
    "laplace",
    "layer_norm",
    "leaky_relu",
    "lerp",
    "linear",
    "linear_recurrence",
    "local_response_norm",
    "log_sigmoid",
    "log_softmax",
    "logcumsumexp",
    "logistic",
    "logit",
    "lognormal",
    "logsumexp",
    "margin_ranking_loss",
    "masked_fill",
    "masked_select",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool2d",
    "maxout",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multigammaln",
    "negative_sampling_loss",
    "newton_schulz",
    "nll_loss",
    "nn",
    "no_grad",
    "normal",
    "normalize",
    "observe",
    "op",
    "optim",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "polygamma",
    "prelu",
    "quick_gelu",
    "register",
    "relu",
    "relu6",
    "rms_norm",
    "rsqrt",
    "safe_multiply",
    "scaled_dot_product_attention",
    "scatter_add",
    "scope",
    "sec",
    "sech",
    "selu",
    "sigmoid",
    "sigmoid_focal_loss",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmax_focal_loss",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "solve_sylvester",
    "solve_triangular",
    "sqrtm",
    "squareplus",
    "stable_argsort",
    "std_mean",
    "threshold",
    "topk",
    "trace",
    "triplet_margin_loss",
    "unflatten",
    "unfold",
    "uniform",
    "unregister",
    "unstack",
    "value_and_grad",
    "var_mean",
    "vjp",
    "wrt",
    "xlogy",
    "zeta",
]

# Loaded on first use: they need Hypothesis, or time that `import tinygrad_edu` should not take.
_ON_DEMAND = {
    "check_derivation": "tinygrad_edu.derivation",
    "check_gradients": "tinygrad_edu.check",
    "check_op": "tinygrad_edu.testing",
    "data": "tinygrad_edu.data",
    "nn": "tinygrad_edu.nn",
    "optim": "tinygrad_edu.optim",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        import numpy as np

        instead = f"; use np.{name}" if name in np.__all__ else ""
        raise AttributeError(f"module 'tinygrad_edu' has no attribute {name!r}{instead}")
    module = import_module(_ON_DEMAND[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})

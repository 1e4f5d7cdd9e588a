"""How much of what other engines differentiate has a gradient here: `tinygrad-edu ops`.

The list is the union of what HIPS/autograd, MyGrad, micrograd, tinygrad, minitorch, DeZero,
needle, Chainer and JAX differentiate, by their names. A name counts only if what users call is in
the registry, with rules or made of other ops: the figures cannot say more than the registry does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.op import REGISTRY
from tinygrad_edu.ops.special import register_scipy

# By family; `*` marks the essential ones, without which common models cannot be written.
UNION = {
    "Elementwise arithmetic": """
        add* subtract* multiply* divide* power* negative* positive* absolute* fabs
        reciprocal* square* sqrt* rsqrt cbrt* remainder* fmod float_power divmod copysign*
        lerp add_sequence multiply_sequence
    """,
    "Exponential and logarithmic": """
        exp* exp2* expm1* log* log2* log10* log1p* logaddexp* logaddexp2*
    """,
    "Trigonometric and hyperbolic": """
        sin* cos* tan* arcsin* arccos* arctan* arctan2* hypot* sinh* cosh* tanh* arcsinh*
        arccosh* arctanh* sinc* deg2rad* rad2deg* degrees* radians* sec csc cot sech csch
        coth arcsec arccsc arccot arccsch arccoth unwrap
    """,
    "Selection and extrema": """
        maximum* minimum* fmax* fmin* clip* where* select* choose piecewise masked_fill*
        nan_to_num* heaviside
    """,
    "Complex": """
        real imag conjugate angle real_if_close
    """,
    "Special functions": """
        erf* erfc erfinv erfcinv erfcx expit* logit* gamma gammaln* psi* polygamma beta
        betaln betainc gammainc gammaincc multigammaln rgamma zeta i0 i1 iv ive j0 j1 jv y0
        y1 yn ndtr ndtri log_ndtr xlogy* xlog1py entr rel_entr kl_div logsumexp*
    """,
    "Distributions": """
        pdf logpdf cdf logcdf sf logsf pmf logpmf mvn_pdf mvn_logpdf mvn_entropy
    """,
    "Reductions and scans": """
        sum* mean* prod* max* min* var* std* ptp* median* average* quantile percentile
        nansum* nanmean* nanmax nanmin nanprod nanvar nanstd nanmedian cumsum* cumprod*
        cummax cummin logcumsumexp cumulative_sum cumulative_prod var_mean std_mean
        trapezoid norm* cov corrcoef
    """,
    "Sorting and order": """
        sort* partition topk
    """,
    "Shape and layout": """
        reshape* ravel* flatten* transpose* permute swapaxes* moveaxis* rollaxis
        expand_dims* squeeze* broadcast_to* broadcast_arrays atleast_1d atleast_2d
        atleast_3d flip* flipud fliplr rot90 roll* astype* copy* contiguous unflatten
        einops_rearrange as_strided sliding_window_view* unfold resize matrix_transpose*
    """,
    "Joining, splitting, repeating": """
        concatenate* stack* vstack* hstack* dstack column_stack block append insert delete
        array* full* split* array_split vsplit hsplit dsplit unstack* chunk tile* repeat*
        pad* meshgrid linspace separate select_item
    """,
    "Indexing, gather and scatter": """
        getitem* setitem* take* take_along_axis* gather scatter* scatter_reduce compress
        extract masked_select diag* diagonal* diagflat tril* triu* trace* embedding* shrink
        dilate permutate fill_diagonal interp depth_to_space space_to_depth
    """,
    "Differences and numerics": """
        diff* ediff1d gradient cross* polyval convolve* correlate vander
    """,
    "Linear algebra: products": """
        matmul* dot* inner* outer* vdot vecdot* matvec tensordot* einsum* kron multi_matmul*
        linear* bilinear matrix_power*
    """,
    "Linear algebra: decompositions and solves": """
        inv* det* slogdet* solve* cholesky* solve_triangular* qr* svd* eigh* eig eigvalsh
        pinv* lstsq* tensorsolve tensorinv expm sqrtm solve_sylvester solve_banded
        block_diag newton_schulz
    """,
    "Fourier": """
        fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn fftshift
        ifftshift
    """,
    "Activations": """
        relu* leaky_relu* relu6 elu* selu celu prelu rrelu crelu clipped_relu maxout
        sigmoid* hard_sigmoid hard_tanh hard_swish silu* gelu* quick_gelu mish softplus*
        log_sigmoid* soft_sign softmax* softmin log_softmax* glu squareplus gumbel_softmax
    """,
    "Convolution, pooling, attention": """
        conv_nd* conv_transpose_nd depthwise_conv deformable_conv local_conv im2col*
        max_pool_nd* avg_pool_nd* max_unpool upsampling interpolate grid_sample roi_pool
        spatial_pyramid_pool scaled_dot_product_attention* shift
    """,
    "Normalisation and noise": """
        batch_norm* layer_norm* group_norm instance_norm rms_norm l2_normalize
        local_response_norm batch_renorm dropout* gaussian_noise zoneout
    """,
    "Recurrent": """
        rnn gru lstm
    """,
    "Losses": """
        mse_loss* mae_loss* huber_loss* softmax_cross_entropy* nll_loss*
        binary_cross_entropy* bce_with_logits* hinge multiclass_hinge* margin_ranking_loss
        triplet_loss contrastive focal_loss softmax_focal_loss gaussian_nll bernoulli_nll
        gaussian_kl ctc crf1d squared_error absolute_error discriminative_loss
        negative_sampling
    """,
    "Functional and implicit": """
        fixed_point odeint checkpoint*
    """,
}

# What is reached under another name, or by several functions; all of them must be there.
REACHED_AS = {
    "add_sequence": "np.add",  # sum([x, y, z])
    "multiply_sequence": "np.multiply",  # math.prod([x, y, z])
    "expit": "tg.sigmoid",
    "kl_div": "scipy.special.kl_div",  # tg.kl_div is PyTorch's loss, which is another function
    "max": "np.max",
    "min": "np.min",
    "norm": "np.linalg.norm",
    "flatten": "np.ravel",
    "permute": "np.transpose",
    "contiguous": "np.copy",
    "unfold": "np.lib.stride_tricks.sliding_window_view",  # tinygrad's; ours is `im2col`
    "im2col": "tg.unfold",
    "array": "np.stack",  # np.array([t, u]) is refused: NumPy does not dispatch it
    "full": "np.broadcast_to",
    "setitem": "tg.index_update",
    "separate": "tg.unstack",
    "select_item": "np.take_along_axis",
    "gather": "np.take_along_axis",
    "scatter": "tg.scatter_add",
    "shrink": "tg.getitem",
    "permutate": "np.take",
    "depth_to_space": "tg.pixel_shuffle",
    "space_to_depth": "tg.pixel_unshuffle",
    "multi_matmul": "np.linalg.multi_dot",
    "hard_sigmoid": "tg.hardsigmoid",
    "hard_tanh": "tg.hardtanh",
    "hard_swish": "tg.hardswish",
    "soft_sign": "tg.softsign",
    "conv_nd": "tg.conv1d tg.conv2d tg.conv3d",
    "conv_transpose_nd": "tg.conv_transpose1d tg.conv_transpose2d tg.conv_transpose3d",
    "depthwise_conv": "tg.conv2d",  # groups=channels
    "max_pool_nd": "tg.max_pool1d tg.max_pool2d tg.max_pool3d",
    "avg_pool_nd": "tg.avg_pool1d tg.avg_pool2d tg.avg_pool3d",
    "max_unpool": "tg.max_unpool2d",
    "upsampling": "tg.max_unpool2d",
    "l2_normalize": "tg.normalize",
    "gaussian_noise": "tg.normal",
    "mae_loss": "tg.l1_loss",
    "absolute_error": "tg.l1_loss",
    "squared_error": "tg.mse_loss",
    "softmax_cross_entropy": "tg.cross_entropy",
    "bce_with_logits": "tg.binary_cross_entropy_with_logits",
    "bernoulli_nll": "tg.binary_cross_entropy_with_logits",
    "multiclass_hinge": "tg.multi_margin_loss",
    "triplet_loss": "tg.triplet_margin_loss",
    "gaussian_nll": "tg.gaussian_nll_loss",
    "contrastive": "tg.contrastive_loss",
    "focal_loss": "tg.sigmoid_focal_loss",
    "negative_sampling": "tg.negative_sampling_loss",
}
_TRANSFORMS = {"checkpoint"}  # take a function, so they are in no registry of functions of arrays


@dataclass(frozen=True, slots=True)
class Name:
    """One function of the union.

    Attributes:
        name: as the other engines call it.
        family: the kind of function.
        essential: whether common models need it.
        functions: what users call here, "np.linalg.norm"; empty if it is missing.
    """

    name: str
    family: str
    essential: bool
    functions: tuple[str, ...]


def union() -> list[Name]:
    """Every function of the union, with what it is here; without SciPy, less."""
    with suppress(ImportError):
        register_scipy()  # which is otherwise done when a Tensor meets one of its functions
    return [
        Name(word.rstrip("*"), family, word.endswith("*"), tuple(reached(word.rstrip("*"))))
        for family, words in UNION.items()
        for word in words.split()
    ]


def figures() -> tuple[int, int]:
    """How many functions of the union are covered, and how many of the essential ones."""
    covered = [one for one in union() if one.functions]
    return len(covered), sum(one.essential for one in covered)


def reached(name: str) -> list[str]:
    """The public functions by which a name of the union is reached; none if one has no gradient."""
    if name in REACHED_AS:
        functions = REACHED_AS[name].split()
        return functions if all(map(_is_covered, functions)) else []
    return next(([path] for place in PLACES if _is_covered(path := f"{place}.{name}")), [])


PLACES = ("np", "np.linalg", "np.fft", "np.lib.stride_tricks", "tg", "scipy.special")


def resolve(path: str) -> Any:
    """What a dotted name that begins with `np`, `tg` or `scipy` stands for; None if nothing."""
    root, *parts = path.split(".")
    thing: Any = {"np": np, "tg": tg}.get(root)
    if path.startswith("scipy.special."):
        with suppress(ImportError):
            from scipy import special

            thing, parts = special, parts[1:]
    for part in parts:
        thing = getattr(thing, part, None)
    return thing


def _is_covered(path: str) -> bool:
    function: Callable[..., Any] | None = resolve(path)
    if path.removeprefix("tg.") in _TRANSFORMS & set(tg.__all__):
        return True
    op = REGISTRY.get(function) if callable(function) else None
    return op is not None and bool(op.rules or op.composed)


def by_family() -> Iterator[tuple[str, list[Name]]]:
    """The union, family by family."""
    names = union()
    for family in UNION:
        yield family, [one for one in names if one.family == family]

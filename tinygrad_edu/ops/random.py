"""Randomness: dropout, and samples that the gradient flows through to the parameters.

A sample of a distribution is written as a function of its parameters and of noise that does not
depend on them (loc + scale · noise), so that it has a gradient: the reparameterisation trick.
Distributions for which there is no such formula (gamma, Poisson, ...) are not offered.

Everything that draws takes a `numpy.random.Generator`, as the keyword `rng`; arguments and their
order are otherwise those of the Generator's methods, and so are the numbers. The noise is drawn
once, in the forward pass. A function under `tg.checkpoint` is called twice, would draw other noise
the second time, and is refused then: let it make its Generator itself, from a seed.

Source: D. Kingma, M. Welling, "Auto-Encoding Variational Bayes" (2013), section 2.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.reduce import softmax
from tinygrad_edu.ops.windows import as_array

Size = int | tuple[int, ...] | None


def check_rng(user: str, rng: Any) -> np.random.Generator:
    """The generator that whoever draws numbers must be given.

    Raises:
        DtypeError: if it is none.
    """
    if not isinstance(rng, np.random.Generator):
        raise DtypeError(
            f"{user}: expected rng to be a numpy.random.Generator, as in "
            f"rng=np.random.default_rng(0), got {type(rng).__name__}"
        )
    return rng


# -- samples -------------------------------------------------------------------------------------


def _noise(function: str, draw: str, rng: Any, size: Size, *parameters: Array) -> Array:
    """Numbers of a standard distribution, in the shape and dtype of the sample."""
    rng = check_rng(function, rng)
    shape = np.broadcast_shapes(*(np.shape(x) for x in parameters)) if size is None else size
    noise = getattr(rng, draw)(size=shape)
    given = [x.dtype for x in parameters if hasattr(x, "dtype") and x.dtype.kind == "f"]
    if given:
        noise = noise.astype(np.result_type(*given))
    elif size is None and not shape:
        return float(noise)  # as from the Generator itself
    noise.flags.writeable = False  # so that a graph may keep it without a copy
    return noise


def _check_scale(function: str, name: str, scale: Array) -> None:
    data = plain(scale)
    known = isinstance(data, np.ndarray | np.generic | float | int)  # no tracer, no task graph
    if known and np.any(data < 0):
        raise InputError(f"{function}: expected {name} of at least 0, got {np.min(data)}")


def _located(function: str, draw: str, loc: Array, scale: Array, size: Size, rng: Any) -> Array:
    """`loc + scale · noise`."""
    loc, scale = _listed(loc), _listed(scale)
    _check_scale(function, "scale", scale)
    return loc + scale * _noise(function, draw, rng, size, loc, scale)


def _listed(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, list | tuple) else x


@composite
def normal(
    loc: Array = 0.0,
    scale: Array = 1.0,
    size: Size = None,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """Samples of normal distributions, differentiable by mean and standard deviation.

    Args:
        loc: the mean.
        scale: the standard deviation; broadcasts with `loc`.
        size: shape of the result; by default that of the parameters.
        rng: where the noise comes from.

    Returns:
        `size`; dtype of the parameters, float64 for plain numbers.

    Raises:
        DtypeError: if `rng` is no Generator.
        InputError: if `scale` is negative.
    """
    return _located("normal", "standard_normal", loc, scale, size, rng)


@composite
def laplace(
    loc: Array = 0.0,
    scale: Array = 1.0,
    size: Size = None,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """Samples of Laplace distributions, differentiable by `loc` and `scale`; see `normal`."""
    return _located("laplace", "laplace", loc, scale, size, rng)


@composite
def logistic(
    loc: Array = 0.0,
    scale: Array = 1.0,
    size: Size = None,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """Samples of logistic distributions, differentiable by `loc` and `scale`; see `normal`."""
    return _located("logistic", "logistic", loc, scale, size, rng)


@composite
def gumbel(
    loc: Array = 0.0,
    scale: Array = 1.0,
    size: Size = None,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """Samples of Gumbel distributions, differentiable by `loc` and `scale`; see `normal`."""
    return _located("gumbel", "gumbel", loc, scale, size, rng)


@composite
def uniform(
    low: Array = 0.0,
    high: Array = 1.0,
    size: Size = None,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """Samples between `low` and `high`, differentiable by both; see `normal`."""
    low, high = _listed(low), _listed(high)
    _check_scale("uniform", "high - low", plain(high) - plain(low))
    return low + (high - low) * _noise("uniform", "random", rng, size, low, high)


@composite
def exponential(
    scale: Array = 1.0, size: Size = None, *, rng: np.random.Generator | None = None
) -> Array:
    """Samples of exponential distributions, differentiable by `scale`, their mean; see `normal`."""
    scale = _listed(scale)
    _check_scale("exponential", "scale", scale)
    return scale * _noise("exponential", "standard_exponential", rng, size, scale)


@composite
def lognormal(
    mean: Array = 0.0,
    sigma: Array = 1.0,
    size: Size = None,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """The exponential of normal samples, differentiable by `mean` and `sigma`; see `normal`."""
    return np.exp(_located("lognormal", "standard_normal", mean, sigma, size, rng))


# -- dropout -------------------------------------------------------------------------------------


@composite
def dropout(
    x: Array, p: float = 0.5, training: bool = True, *, rng: np.random.Generator | None = None
) -> Array:
    """Set elements to 0 at random, and divide the others by `1 - p` so that the mean stays.

    Args:
        x: (...), float.
        p: the probability of an element to become 0.
        training: if False, return `x`.
        rng: where the choice comes from; needed in training.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if `p` is no probability.
        DtypeError: in training, if `rng` is no Generator.

    Source: N. Srivastava et al., "Dropout" (2014); the inverted form, which scales in training.
    """
    x = as_array(x)
    if not 0 <= p <= 1:
        raise InputError(f"dropout: expected p between 0 and 1, got {p}")
    if not training:
        return x
    kept = check_rng("dropout", rng).random(x.shape, dtype=np.float32) >= p
    factor = np.asarray(np.multiply(kept, 1 / (1 - p) if p < 1 else 0.0, dtype=x.dtype))
    factor.flags.writeable = False  # so that the graph keeps it without a copy
    return safe_multiply(x, factor)


# -- soft choices --------------------------------------------------------------------------------


@op(wrt("soft", lambda g, out, soft, *, axis: g))
def straight_through(soft: Array, *, axis: int) -> Array:
    """One for the largest along the axis, zero for the others; the gradient passes unchanged.

    Source: Y. Bengio, N. Léonard, A. Courville, "Estimating or Propagating Gradients Through
        Stochastic Neurons" (2013): not the gradient of this function, but of what stands for it.
    """
    places = np.arange(soft.shape[axis]).reshape((-1, *(1,) * (soft.ndim - 1 - axis % soft.ndim)))
    return (places == np.argmax(soft, axis=axis, keepdims=True)).astype(soft.dtype)


@composite
def gumbel_softmax(
    logits: Array,
    tau: float = 1.0,
    hard: bool = False,
    axis: int = -1,
    *,
    rng: np.random.Generator | None = None,
) -> Array:
    """Samples of a categorical distribution, made soft so that they have a gradient.

    Args:
        logits: (...), float: unnormalised log-probabilities along `axis`.
        tau: the temperature: the lower, the closer to one-hot vectors.
        hard: return one-hot vectors, with the gradient of the soft ones.
        axis: of the categories.
        rng: where the noise comes from.

    Returns:
        Shape and dtype of `logits`; sums to 1 along `axis`.

    Raises:
        InputError: if `tau` is not positive.
        DtypeError: if `rng` is no Generator.

    Source: E. Jang, S. Gu, B. Poole, "Categorical Reparameterization with Gumbel-Softmax" (2016).
    """
    logits = as_array(logits)
    if not tau > 0:
        raise InputError(f"gumbel_softmax: expected tau > 0, got {tau}")
    noise = _noise("gumbel_softmax", "gumbel", rng, None, logits)
    soft = softmax((logits + noise) / tau, axis=axis)
    return straight_through(soft, axis=axis) if hard else soft

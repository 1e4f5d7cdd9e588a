"""Gradients of layers, derived by hand in plain NumPy, equal the engine's.

`C` is the cotangent of the layer's output: the loss is Σ C · layer(x).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from examples import derivations
from tinygrad_edu import nn
from tinygrad_edu.strategies import values

Array = Any
sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


def module_at(model: nn.Module, path: str) -> tuple[nn.Module, str]:
    *places, name = path.split(".")
    for place in places:
        model = getattr(model, place)
    return model, name


def as_function(layer: nn.Module, *names: str) -> Callable[..., Any]:
    """The layer as a function of its input and some of its parameters."""

    def f(x: Any, *parameters: Any) -> Any:
        places = [module_at(layer, name) for name in names]
        kept = [vars(module)[name] for module, name in places]
        for (module, name), p in zip(places, parameters, strict=True):
            vars(module)[name] = p
        try:
            return layer(x)
        finally:
            for (module, name), p in zip(places, kept, strict=True):
                vars(module)[name] = p

    return f


def parameters(layer: nn.Module, *names: str) -> list[Array]:
    return [getattr(*module_at(layer, name)).data.copy() for name in names]


def randomise(layer: nn.Module, rng: np.random.Generator) -> None:
    """Parameters that are not 0 or 1, so that nothing is right by chance."""
    for p in layer.parameters():
        p.data = rng.normal(size=p.shape)


def assert_derived(
    f: Callable[..., Any], inputs: list[Array], derived: tuple[Array, ...], C: Array
) -> None:
    """Engine = formula, to 1e-10 (1 + largest)."""
    tensors = [tg.Tensor(x, requires_grad=True) for x in inputs]
    f(*tensors).backward(C)
    largest = max(np.abs(d).max(initial=0) for d in derived)
    for tensor, expected in zip(tensors, derived, strict=True):
        assert tensor.grad.shape == expected.shape
        assert np.abs(tensor.grad - expected).max(initial=0) <= 1e-10 * (1 + largest)


# -- linear ----------------------------------------------------------------------------------------


def linear_by_hand(x: Array, W: Array, b: Array, C: Array) -> tuple[Array, ...]:
    """∂L/∂x = C W, ∂L/∂W = Cᵀ x, ∂L/∂b = Σ C."""
    return C @ W, C.T @ x, C.sum(axis=0)


@given(sizes, sizes, sizes, seeds)
def test_linear(N: int, n_in: int, n_out: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.Linear(n_in, n_out, rng=rng)
    x, C = rng.normal(size=(N, n_in)), rng.normal(size=(N, n_out))
    names = ("weight", "bias")
    inputs = [x, *parameters(layer, *names)]
    assert_derived(as_function(layer, *names), inputs, linear_by_hand(*inputs, C), C)
    assert np.allclose(layer(x).data, x @ inputs[1].T + inputs[2], rtol=1e-14)


def test_linear_passes_the_search_for_a_counter_example() -> None:
    layer = nn.Linear(3, 2, rng=np.random.default_rng(0))
    C = np.array([[1.0, -2.0], [0.5, 3.0]])
    f = as_function(layer, "weight", "bias")
    tg.check_derivation(
        lambda x, W, b: np.sum(C * f(x, W, b)),
        lambda x, W, b: linear_by_hand(x, W, b, C),
        values(shape=(2, 3)),
        values(shape=(2, 3)),
        values(shape=2),
        examples=20,
    )


@given(sizes, sizes, sizes, sizes, seeds)
def test_bilinear(N: int, n1: int, n2: int, n_out: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.Bilinear(n1, n2, n_out, rng=rng)
    x1, x2 = rng.normal(size=(N, n1)), rng.normal(size=(N, n2))
    C = rng.normal(size=(N, n_out))
    W = layer.weight.data.copy()
    layer(x1, x2).backward(C)
    expected = np.zeros_like(W)
    for n in range(N):
        for k in range(n_out):
            expected[k] += C[n, k] * np.outer(x1[n], x2[n])
    assert np.allclose(layer.weight.grad, expected, atol=1e-12)
    assert np.allclose(layer.bias.grad, C.sum(axis=0), atol=1e-12)


# -- MLP -------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 8), min_size=2, max_size=5),
    st.sampled_from(["tanh", "sigmoid", "relu", "identity"]),
    sizes,
    seeds,
)
def test_mlp_equals_the_derivation_of_the_textbook(
    widths: list[int], activation: str, N: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net = nn.MLP(widths, activation, output="sigmoid", rng=rng)
    randomise(net, rng)
    x, t = rng.normal(size=(N, widths[0])), rng.normal(size=(N, widths[-1]))
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    functions = [activation] * (len(layers) - 1) + ["sigmoid"]
    value, by_weights, by_biases = derivations.mlp(
        x,
        t,
        [layer.weight.data.T for layer in layers],
        [layer.bias.data for layer in layers],
        functions,
        "mean squared error",
    )
    loss = nn.MSELoss()(net(x), t)
    loss.backward()
    assert loss.item() == pytest.approx(value, rel=1e-12)
    largest = max(np.abs(g).max() for g in (*by_weights, *by_biases))
    for layer, W, b in zip(layers, by_weights, by_biases, strict=True):
        assert np.abs(layer.weight.grad - W.T).max() <= 1e-12 * (1 + largest)
        assert np.abs(layer.bias.grad - b).max() <= 1e-12 * (1 + largest)


# -- normalisation ---------------------------------------------------------------------------------


def normalised_by_hand(
    x: Array, w: Array, C: Array, axes: Any, eps: float, centred: bool
) -> tuple[Array, Array]:
    """x̂ = (x - m)/s; ∂L/∂x = (h - mean(h) - x̂ · mean(h x̂))/s with h = C w, and ∂L/∂w = Σ C x̂.

    Without the mean that is subtracted, mean(h) is missing.
    """
    m = x.mean(axis=axes, keepdims=True) if centred else 0.0
    s = np.sqrt(((x - m) ** 2).mean(axis=axes, keepdims=True) + eps)
    hat, h = (x - m) / s, C * w
    along = (h * hat).mean(axis=axes, keepdims=True)
    shared = h.mean(axis=axes, keepdims=True) if centred else 0.0
    return (h - shared - hat * along) / s, C * hat


@given(sizes, st.integers(2, 6), seeds)
def test_layer_norm(N: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.LayerNorm(width)
    randomise(layer, rng)
    x, C = rng.normal(size=(N, 3, width)), rng.normal(size=(N, 3, width))
    names = ("weight", "bias")
    inputs = [x, *parameters(layer, *names)]
    by_x, by_w = normalised_by_hand(x, inputs[1], C, -1, 1e-5, centred=True)
    derived = (by_x, by_w.sum(axis=(0, 1)), C.sum(axis=(0, 1)))
    assert_derived(as_function(layer, *names), inputs, derived, C)


@given(sizes, st.integers(2, 6), seeds)
def test_rms_norm(N: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.RMSNorm(width, eps=1e-3)
    randomise(layer, rng)
    x, C = rng.normal(size=(N, width)), rng.normal(size=(N, width))
    inputs = [x, *parameters(layer, "weight")]
    by_x, by_w = normalised_by_hand(x, inputs[1], C, -1, 1e-3, centred=False)
    assert_derived(as_function(layer, "weight"), inputs, (by_x, by_w.sum(axis=0)), C)


@pytest.mark.parametrize("training", [True, False])
@given(st.integers(2, 5), sizes, st.sampled_from([(), (3,), (2, 3)]), seeds)
def test_batch_norm(
    training: bool, N: int, channels: int, image: tuple[int, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer: nn.Module = (nn.BatchNorm2d if len(image) == 2 else nn.BatchNorm1d)(channels)
    randomise(layer, rng)
    mean, var = rng.normal(size=channels), rng.uniform(0.5, 2, size=channels)
    layer.running_mean.data, layer.running_var.data = mean, var
    layer.train(training)
    x = rng.normal(size=(N, channels, *image))
    C = rng.normal(size=x.shape)
    names = ("weight", "bias")
    inputs = [x, *parameters(layer, *names)]
    axes = (0, *range(2, x.ndim))

    def row(v: Array) -> Array:
        return v.reshape(-1, *(1,) * len(image))

    if training:
        by_x, by_w = normalised_by_hand(x, row(inputs[1]), C, axes, 1e-5, centred=True)
    else:  # the statistics are constants
        scale = 1 / np.sqrt(row(var) + 1e-5)
        by_x, by_w = C * row(inputs[1]) * scale, C * (x - row(mean)) * scale
    derived = (by_x, by_w.sum(axis=axes), C.sum(axis=axes))
    assert_derived(as_function(layer, *names), inputs, derived, C)


# -- look-up, convolution --------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [True, False])
@given(sizes, sizes, st.lists(st.integers(0, 4), min_size=1, max_size=8), seeds)
def test_embedding(sparse: bool, extra: int, width: int, words: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.Embedding(5 + extra, width, padding_idx=2, sparse=sparse, rng=rng)
    C = rng.normal(size=(len(words), width))
    layer(np.array(words)).backward(C)
    expected = np.zeros(layer.weight.shape)
    for word, c in zip(words, C, strict=True):
        if word != 2:
            expected[word] += c
    grad = layer.weight.grad
    assert isinstance(grad, tg.RowSparse) == sparse
    assert np.allclose(grad.dense() if sparse else grad, expected, atol=1e-14)


def convolution_by_hand(
    x: Array, w: Array, C: Array, stride: int, padding: int
) -> tuple[Array, Array, Array, Array]:
    """Output, and ∂L/∂x, ∂L/∂w, ∂L/∂b, window by window."""
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y, by_x, by_w = np.zeros(C.shape), np.zeros(wide.shape), np.zeros(w.shape)
    height, width = w.shape[2:]
    for p in range(C.shape[2]):
        for q in range(C.shape[3]):
            rows = slice(p * stride, p * stride + height)
            columns = slice(q * stride, q * stride + width)
            window, c = wide[:, :, rows, columns], C[:, :, p, q]
            y[:, :, p, q] = np.einsum("nchw,ochw->no", window, w)
            by_w += np.einsum("no,nchw->ochw", c, window)
            by_x[:, :, rows, columns] += np.einsum("no,ochw->nchw", c, w)
    inside = (slice(None), slice(None), *(slice(padding, n - padding) for n in wide.shape[2:]))
    return y, by_x[inside], by_w, C.sum(axis=(0, 2, 3))


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2),
    seeds,
)  # fmt: skip
def test_conv2d(N: int, channels: int, kernel: int, stride: int, padding: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.Conv2d(channels, 2, kernel, stride, padding, rng=rng)
    x = rng.normal(size=(N, channels, 5, 4))
    C = rng.normal(size=layer(x).shape)
    names = ("weight", "bias")
    inputs = [x, *parameters(layer, *names)]
    y, *derived = convolution_by_hand(x, inputs[1], C, stride, padding)
    assert np.allclose(layer(x).data, y + inputs[2][:, None, None], atol=1e-12)
    assert_derived(as_function(layer, *names), inputs, tuple(derived), C)


# -- LLaMA's MLP -----------------------------------------------------------------------------------


def gated_by_hand(x: Array, G: Array, U: Array, D: Array, C: Array) -> tuple[Array, ...]:
    """u = x Gᵀ, v = x Uᵀ, h = silu(u) v, y = h Dᵀ, and back."""
    u, v = x @ G.T, x @ U.T
    sigma = 1 / (1 + np.exp(-u))
    silu, slope = u * sigma, sigma * (1 + u * (1 - sigma))
    by_h = C @ D
    by_u, by_v = by_h * v * slope, by_h * silu
    return by_u @ G + by_v @ U, by_u.T @ x, by_v.T @ x, C.T @ (silu * v)


PROJECTIONS = ("gate_proj.weight", "up_proj.weight", "down_proj.weight")


@given(sizes, sizes, st.integers(1, 3), st.integers(1, 4), seeds)
def test_gated_mlp_whole_and_sliced(N: int, width: int, per: int, parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, C = rng.normal(size=(N, width)), rng.normal(size=(N, width))
    whole = nn.GatedMLP(width, per * parts, rng=rng)
    randomise(whole, rng)
    inputs = [x, *parameters(whole, *PROJECTIONS)]
    sliced = nn.GatedMLP(width, per * parts, parts, rng=rng)
    sliced.load_state_dict(whole.state_dict())
    for layer in (whole, sliced):
        derived = gated_by_hand(*inputs, C)
        assert_derived(as_function(layer, *PROJECTIONS), inputs, derived, C)
    assert np.allclose(whole(x).data, sliced(x).data, rtol=1e-12, atol=1e-12)


def test_gated_mlp_passes_the_search_for_a_counter_example() -> None:
    layer = nn.GatedMLP(2, 4, 2, rng=np.random.default_rng(0))
    C = np.array([[1.0, -2.0], [0.5, 3.0]])
    f = as_function(layer, *PROJECTIONS)
    arrays = [np.array([[0.3, -0.7], [1.1, 0.2]]), *parameters(layer, *PROJECTIONS)]
    tg.check_derivation(
        lambda x, G, U, D: np.sum(C * f(x, G, U, D)),
        lambda x, G, U, D: gated_by_hand(x, G, U, D, C),
        *(values(tg.Domain(-3.0, 3.0), shape=a.shape) for a in arrays),
        examples=15,
    )


# -- attention -------------------------------------------------------------------------------------


def attention_by_hand(
    x: Array, W: Array, b: Array, V: Array, c: Array, C: Array, heads: int, causal: bool
) -> tuple[Array, ...]:
    """Self attention of one sequence (L, E), head by head, and ∂L by x, W, b, V, c.

    With scores S = q kᵀ/√d and P = softmax(S): ∂L/∂S = P ⊙ (∂L/∂P - Σ P ∂L/∂P).
    """
    L, E = x.shape
    d = E // heads
    qkv = x @ W.T + b
    joined, by_joined = np.zeros((L, E)), C @ V
    by_qkv = np.zeros((L, 3 * E))
    for i in range(heads):
        part = slice(i * d, (i + 1) * d)
        q, k, v = (qkv[:, n * E :][:, part] for n in range(3))
        S = q @ k.T / math.sqrt(d)
        if causal:
            S[np.triu_indices(L, 1)] = -np.inf
        P = np.exp(S - S.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        joined[:, part] = P @ v
        by_P = by_joined[:, part] @ v.T
        by_S = P * (by_P - (P * by_P).sum(axis=1, keepdims=True)) / math.sqrt(d)
        for n, g in enumerate((by_S @ k, by_S.T @ q, P.T @ by_joined[:, part])):
            by_qkv[:, n * E + i * d : n * E + (i + 1) * d] = g
    return by_qkv @ W, by_qkv.T @ x, by_qkv.sum(axis=0), C.T @ joined, C.sum(axis=0)


ATTENTION = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")


@given(sizes, st.integers(1, 3), st.integers(1, 3), st.booleans(), seeds)
def test_multihead_attention(L: int, heads: int, per: int, causal: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.MultiheadAttention(heads * per, heads, rng=rng)
    randomise(layer, rng)
    x, C = rng.normal(size=(L, heads * per)), rng.normal(size=(L, heads * per))
    inputs = [x, *parameters(layer, *ATTENTION)]
    forward = layer.forward
    layer.forward = lambda x: forward(x, is_causal=causal)  # type: ignore[method-assign]
    derived = attention_by_hand(*inputs, C, heads, causal)
    assert_derived(as_function(layer, *ATTENTION), inputs, derived, C)


@pytest.mark.parametrize("causal", [False, True])
def test_transformer_block_equals_difference_quotients(causal: bool) -> None:
    rng = np.random.default_rng(3)
    block = nn.TransformerBlock(4, 2, 6, activation="tanh", rng=rng).eval()
    for p in block.parameters():
        p.data = p.data + rng.normal(0, 0.3, p.shape)
    names = [path for path, _ in block.named_parameters()]
    f = as_function(block, *names)
    forward = block.forward
    block.forward = lambda x: forward(x, is_causal=causal)  # type: ignore[method-assign]
    tg.check_gradients(f, rng.normal(size=(2, 3, 4)), *parameters(block, *names), max_elements=6)


def test_a_prelu_learns_its_slopes() -> None:
    rng = np.random.default_rng(0)
    x, C = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    layer = nn.PReLU(3)
    layer(x).backward(C)
    assert np.allclose(layer.weight.grad, (C * np.minimum(x, 0)).sum(axis=0), atol=1e-14)


# -- every option, against difference quotients ----------------------------------------------------


def some_convolution(rng: np.random.Generator, axes: int) -> tuple[nn.Module, Array]:
    groups = int(rng.integers(1, 3))
    kernel, dilation = rng.integers(1, 4, axes), rng.integers(1, 3, axes)
    mode = rng.choice(["zeros", "reflect", "replicate", "circular"])
    padding: Any = ["same", "valid", tuple(rng.integers(0, 3, axes))][rng.integers(3)]
    stride = 1 if padding == "same" else tuple(rng.integers(1, 4, axes))
    kind: Any = nn.Conv1d if axes == 1 else nn.Conv2d
    layer = kind(
        2 * groups, groups, tuple(kernel), stride, padding, tuple(dilation), groups,
        bool(rng.integers(2)), mode, rng=rng,
    )  # fmt: skip
    batch = (2,) * int(rng.integers(2))
    return layer, rng.normal(size=(*batch, 2 * groups, *rng.integers(5, 8, axes)))


def some_pooling(rng: np.random.Generator, kind: Any) -> tuple[nn.Module, Array]:
    axes = 1 if "1d" in kind.__name__ else 2
    kernel = rng.integers(1, 4, axes)
    options: dict[str, Any] = {
        "stride": [None, tuple(rng.integers(1, 4, axes))][rng.integers(2)],
        "padding": tuple(rng.integers(0, kernel // 2 + 1)),
        "ceil_mode": bool(rng.integers(2)),
    }
    if "Max" in kind.__name__:
        options["dilation"] = tuple(rng.integers(1, 3, axes))
    else:
        options["count_include_pad"] = bool(rng.integers(2))
    return kind(tuple(kernel), **options), rng.normal(size=(2, 1, *rng.integers(5, 8, axes)))


def some_norm(rng: np.random.Generator, kind: Any) -> tuple[nn.Module, Array]:
    shape = tuple(int(n) for n in rng.integers(2, 4, rng.integers(1, 3)))
    options: dict[str, Any] = {"eps": 0.1, "elementwise_affine": bool(rng.integers(2))}
    if kind is nn.LayerNorm:
        options["bias"] = bool(rng.integers(2))
    return kind(shape, **options), rng.normal(size=(2, *shape))


def some_batch_norm(rng: np.random.Generator) -> tuple[nn.Module, Array]:
    image = [(), (3,), (2, 2)][rng.integers(3)]
    affine, tracked, bias = (bool(n) for n in rng.integers(0, 2, 3))
    kind: Any = nn.BatchNorm2d if len(image) == 2 else nn.BatchNorm1d
    layer = kind(2, 0.1, [0.1, None][rng.integers(2)], affine, tracked, bias=bias)
    if tracked:
        layer.running_mean.data, layer.running_var.data = rng.normal(size=2), rng.uniform(1, 2, 2)
    return layer.train(bool(rng.integers(2))), rng.normal(size=(3, 2, *image))


def some_cell(rng: np.random.Generator, kind: Any) -> tuple[nn.Module, Array]:
    options = {"nonlinearity": rng.choice(["tanh", "relu"])} if kind is nn.RNNCell else {}
    layer = kind(3, 2, bool(rng.integers(2)), rng=rng, **options)
    forward, h = layer.forward, rng.normal(size=(4, 2))
    layer.forward = lambda x: forward(x, (h, -h) if kind is nn.LSTMCell else h)
    return layer, rng.normal(size=(4, 3))


def some_attention(rng: np.random.Generator) -> tuple[nn.Module, Array]:
    layer = nn.MultiheadAttention(
        4, int(rng.choice([1, 2, 4])), 0.0, bool(rng.integers(2)), rng=rng
    )
    forward, key = layer.forward, rng.normal(size=(2, 5, 4))
    mask = [None, rng.random((3, 5)) < 0.7, rng.normal(size=(3, 5))][rng.integers(3)]
    layer.forward = lambda x: forward(x, key, attn_mask=mask)  # type: ignore[method-assign]
    return layer, rng.normal(size=(2, 3, 4))


def some_loss(rng: np.random.Generator) -> tuple[nn.Module, Array]:
    reduction = rng.choice(["mean", "sum", "none"])
    z, labels = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
    weight, unit = rng.uniform(0.5, 2, 3), rng.uniform(0.1, 0.9, (4, 3))
    ignored = [None, int(labels[0])][rng.integers(2)]
    smoothing = float(rng.choice([0.0, 0.3]))
    choices: list[tuple[Any, Array, Any]] = [
        (nn.CrossEntropyLoss(weight, ignored, reduction, smoothing), z, labels),
        (nn.CrossEntropyLoss(weight, None, reduction, smoothing), z, unit),
        (nn.NLLLoss(weight, ignored, reduction), z, labels),
        (nn.BCELoss(weight, reduction), unit, rng.uniform(size=(4, 3))),
        (nn.BCEWithLogitsLoss(weight, reduction, weight[::-1]), z, unit),
        (nn.KLDivLoss(reduction, log_target=bool(rng.integers(2))), z, unit),
        (nn.HuberLoss(reduction, 0.7), z, unit),
        (nn.SmoothL1Loss(reduction, float(rng.choice([0.0, 0.7]))), z, unit),
    ]
    loss, x, y = choices[rng.integers(len(choices))]
    forward = loss.forward
    loss.forward = lambda x: forward(x, y)
    return loss, x


FAMILIES: dict[str, Callable[[np.random.Generator], tuple[nn.Module, Array]]] = {
    "Conv1d": lambda rng: some_convolution(rng, 1),
    "Conv2d": lambda rng: some_convolution(rng, 2),
    "MaxPool1d": lambda rng: some_pooling(rng, nn.MaxPool1d),
    "MaxPool2d": lambda rng: some_pooling(rng, nn.MaxPool2d),
    "AvgPool1d": lambda rng: some_pooling(rng, nn.AvgPool1d),
    "AvgPool2d": lambda rng: some_pooling(rng, nn.AvgPool2d),
    "LayerNorm": lambda rng: some_norm(rng, nn.LayerNorm),
    "RMSNorm": lambda rng: some_norm(rng, nn.RMSNorm),
    "BatchNorm": some_batch_norm,
    "RNNCell": lambda rng: some_cell(rng, nn.RNNCell),
    "GRUCell": lambda rng: some_cell(rng, nn.GRUCell),
    "LSTMCell": lambda rng: some_cell(rng, nn.LSTMCell),
    "MultiheadAttention": some_attention,
    "losses": some_loss,
}


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15)
@given(seeds)
def test_with_any_options_gradients_are_difference_quotients(family: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, x = FAMILIES[family](rng)
    randomise(layer, rng)
    names = [path for path, _ in layer.named_parameters()]
    tg.check_gradients(as_function(layer, *names), x, *parameters(layer, *names), max_elements=3)

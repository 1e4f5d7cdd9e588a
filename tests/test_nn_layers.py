"""Layers: defaults as in PyTorch, dtypes, what training and evaluation change, and errors."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.nn import init


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ones(*shape: int) -> Any:
    return np.ones(shape)


# -- defaults --------------------------------------------------------------------------------------

SHAPES: list[tuple[Any, dict[str, tuple[int, ...]]]] = [
    (lambda: nn.Linear(3, 2, rng=rng()), {"weight": (2, 3), "bias": (2,)}),
    (lambda: nn.Linear(3, 2, bias=False, rng=rng()), {"weight": (2, 3)}),
    (lambda: nn.Bilinear(3, 4, 2, rng=rng()), {"weight": (2, 3, 4), "bias": (2,)}),
    (lambda: nn.Conv1d(4, 6, 3, groups=2, rng=rng()), {"weight": (6, 2, 3), "bias": (6,)}),
    (lambda: nn.Conv2d(4, 6, (3, 5), rng=rng()), {"weight": (6, 4, 3, 5), "bias": (6,)}),
    (lambda: nn.Embedding(5, 3, rng=rng()), {"weight": (5, 3)}),
    (lambda: nn.LayerNorm((2, 3)), {"weight": (2, 3), "bias": (2, 3)}),
    (lambda: nn.LayerNorm(3, bias=False), {"weight": (3,)}),
    (lambda: nn.RMSNorm(3), {"weight": (3,)}),
    (
        lambda: nn.BatchNorm2d(3),
        {
            "weight": (3,),
            "bias": (3,),
            "running_mean": (3,),
            "running_var": (3,),
            "num_batches_tracked": (),
        },
    ),
    (lambda: nn.PReLU(), {"weight": (1,)}),
    (
        lambda: nn.MultiheadAttention(4, 2, rng=rng()),
        {
            "in_proj_weight": (12, 4),
            "in_proj_bias": (12,),
            "out_proj.weight": (4, 4),
            "out_proj.bias": (4,),
        },
    ),
    (
        lambda: nn.GatedMLP(4, 6, rng=rng()),
        {"gate_proj.weight": (6, 4), "up_proj.weight": (6, 4), "down_proj.weight": (4, 6)},
    ),
]


@pytest.mark.parametrize(("make", "expected"), SHAPES)
def test_names_and_shapes_are_those_of_pytorch(make: Any, expected: Any) -> None:
    state = make().state_dict()
    assert {name: array.shape for name, array in state.items()} == expected
    assert all(a.dtype == float for name, a in state.items() if name != "num_batches_tracked")


def test_a_transformer_block_has_the_names_of_pytorchs_encoder_layer() -> None:
    block = nn.TransformerBlock(4, 2, 8, rng=rng())
    assert set(block.state_dict()) == {
        *(f"self_attn.in_proj_{part}" for part in ("weight", "bias")),
        *(f"{layer}.{part}" for layer in ("self_attn.out_proj", "linear1", "linear2", "norm1",
                                          "norm2") for part in ("weight", "bias")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Linear(50, 400, rng=rng()), 50),
        (nn.Conv2d(4, 60, 5, groups=2, rng=rng()), 50),
        (nn.Conv1d(10, 400, 5, rng=rng()), 50),
        (nn.Bilinear(50, 4, 100, rng=rng()), 50),
    ],
)
def test_weights_and_biases_start_even_on_1_over_the_root_of_fan_in(
    layer: Any, fan_in: int
) -> None:
    limit = 1 / math.sqrt(fan_in)
    for p in layer.parameters():
        assert 0.9 * limit < np.abs(p.data).max() <= limit
    assert layer.weight.data.var() == pytest.approx(limit**2 / 3, rel=0.05)


def test_embeddings_start_normal_and_padding_at_0() -> None:
    layer = nn.Embedding(2000, 10, padding_idx=-1, rng=rng())
    assert layer.weight.data.std() == pytest.approx(1, rel=0.02)
    assert layer.padding_idx == 1999
    assert not layer.weight.data[-1].any()


def test_an_mlp_starts_as_glorot_and_bengio_say() -> None:
    net = nn.MLP([200, 300, 10], rng=rng())
    limit = math.sqrt(6 / 500)
    assert 0.99 * limit < np.abs(net[0].weight.data).max() <= limit
    assert not net[0].bias.data.any()


def test_linear_takes_another_initialiser() -> None:
    from functools import partial

    layer = nn.Linear(100, 100, init=partial(init.normal, std=0.01), rng=rng())
    assert layer.weight.data.std() == pytest.approx(0.01, rel=0.05)
    assert not layer.bias.data.any()


def test_attention_starts_with_glorot_and_biases_at_0() -> None:
    layer = nn.MultiheadAttention(40, 4, rng=rng())
    limit = math.sqrt(6 / 160)
    assert 0.99 * limit < np.abs(layer.in_proj_weight.data).max() <= limit
    assert not layer.in_proj_bias.data.any()
    assert not layer.out_proj.bias.data.any()


def test_one_seed_gives_one_network() -> None:
    def weights(seed: int) -> Any:
        return nn.MLP([5, 4, 3], rng=rng(seed)).state_dict()["2.weight"]

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


NEED_RNG: list[Any] = [
    lambda **k: nn.Linear(2, 2, **k),
    lambda **k: nn.Bilinear(2, 2, 2, **k),
    lambda **k: nn.Conv2d(2, 2, 2, **k),
    lambda **k: nn.Embedding(2, 2, **k),
    lambda **k: nn.Dropout(0.5, **k),
    lambda **k: nn.MLP([2, 2], **k),
    lambda **k: nn.Perceptron(2, **k),
    lambda **k: nn.GatedMLP(2, 2, **k),
    lambda **k: nn.MultiheadAttention(2, 1, **k),
    lambda **k: nn.TransformerBlock(2, 1, **k),
]


@pytest.mark.parametrize("make", NEED_RNG)
def test_what_draws_numbers_needs_a_generator(make: Any) -> None:
    make(rng=rng())
    for wrong in ({}, {"rng": 0}):
        with pytest.raises(tg.DtypeError, match=r"rng=np\.random\.default_rng\(0\), got"):
            make(**wrong)


FLOAT32: list[tuple[Any, Any]] = [
    (nn.Linear(3, 2, rng=rng(), dtype="f4"), (5, 3)),
    (nn.Conv1d(3, 2, 2, rng=rng(), dtype="f4"), (2, 3, 4)),
    (nn.Conv2d(3, 2, 2, rng=rng(), dtype="f4"), (2, 3, 4, 4)),
    (nn.BatchNorm1d(3, dtype="f4"), (5, 3)),
    (nn.BatchNorm1d(3, dtype="f4").eval(), (5, 3)),
    (nn.LayerNorm(3, dtype="f4"), (5, 3)),
    (nn.RMSNorm(3, dtype="f4"), (5, 3)),
    (nn.PReLU(dtype="f4"), (5, 3)),
    (nn.MLP([3, 4, 2], "gelu", rng=rng(), dtype="f4"), (5, 3)),
    (nn.GatedMLP(3, 4, 2, rng=rng(), dtype="f4"), (5, 3)),
    (nn.MultiheadAttention(3, 1, rng=rng(), dtype="f4"), (5, 3)),
    (nn.TransformerBlock(3, 1, 8, rng=rng(), dtype="f4"), (5, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), FLOAT32)
def test_float32_stays_float32(layer: Any, shape: Any) -> None:
    x = tg.Tensor(rng(1).normal(size=shape), dtype="f4", requires_grad=True)
    out = layer(x)
    assert out.dtype == np.float32
    out.backward(np.ones(out.shape, "f4"))
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.dtype == np.float32


# -- what they compute -----------------------------------------------------------------------------

ACTIVATIONS: list[tuple[Any, Any]] = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.PReLU(), lambda x: np.where(x > 0, x, 0.25 * x)),
    (nn.ELU(2.0), lambda x: np.where(x > 0, x, 2 * (np.exp(x) - 1))),
    (nn.CELU(2.0), lambda x: np.where(x > 0, x, 2 * (np.exp(x / 2) - 1))),
    (nn.SELU(), lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772
                                                        * (np.exp(x) - 1))),
    (nn.Hardtanh(-2, 3), lambda x: np.clip(x, -2, 3)),
    (nn.Hardsigmoid(), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (nn.Hardswish(), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (nn.LogSigmoid(), lambda x: -np.log1p(np.exp(-x))),
    (nn.Tanh(), lambda x: 2 / (1 + np.exp(-2 * x)) - 1),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    (nn.Mish(), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (nn.Softsign(), lambda x: x / (1 + np.abs(x))),
    (nn.Step(), lambda x: (x > 0).astype(float)),
    (nn.GELU(), lambda x: np.array([[v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in row]
                                    for row in x])),
    (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi)
                                                       * (x + 0.044715 * x**3)))),
    (nn.Softplus(), lambda x: np.log1p(np.exp(x))),
    (nn.Softplus(2.0), lambda x: np.log1p(np.exp(2 * x)) / 2),
    (nn.Softmax(0), lambda x: np.exp(x) / np.exp(x).sum(axis=0)),
    (nn.Softmax(), lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)),
    (nn.LogSoftmax(0), lambda x: x - np.log(np.exp(x).sum(axis=0))),
    (nn.Softmin(0), lambda x: np.exp(-x) / np.exp(-x).sum(axis=0)),
    (nn.GLU(0), lambda x: x[:2] / (1 + np.exp(-x[2:]))),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "formula"), ACTIVATIONS)
def test_an_activation_is_its_formula(layer: Any, formula: Any) -> None:
    x = rng(1).normal(0, 4, size=(4, 3))
    assert np.allclose(tg.Tensor(layer(x)).data if isinstance(layer(x), np.ndarray)
                       else layer(x).data, formula(x), rtol=1e-10, atol=1e-12)  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool1d(2), [[2, 4]]),
        (nn.AvgPool1d(2), [[1.5, 3.5]]),
        (nn.MaxPool1d(3, stride=1, padding=1), [[2, 3, 4, 4]]),
        (nn.AvgPool1d(3, stride=1, padding=1), [[1, 2, 3, 7 / 3]]),
        (nn.AvgPool1d(3, 1, 1, count_include_pad=False), [[1.5, 2, 3, 3.5]]),
        (nn.MaxPool1d(3, ceil_mode=True), [[3, 4]]),
        (nn.MaxPool1d(2, 1, dilation=2), [[3, 4]]),
    ],
)
def test_pooling_of_a_sequence_by_hand(layer: Any, expected: Any) -> None:
    assert np.allclose(layer(np.array([[1.0, 2, 3, 4]])).data, expected)


def test_pooling_of_an_image_by_hand() -> None:
    image = np.arange(16.0).reshape(1, 1, 4, 4)
    assert np.array_equal(nn.MaxPool2d(2)(image)[0, 0], [[5, 7], [13, 15]])
    assert np.array_equal(nn.AvgPool2d(2)(image)[0, 0], [[2.5, 4.5], [10.5, 12.5]])
    assert np.array_equal(nn.AdaptiveAvgPool2d(1)(image)[0, 0], [[7.5]])


def windows(x: Any, kernel: Any, stride: Any, padding: int, fill: float) -> Any:
    """All windows of images (N, C, H, W), one after the other along two axes."""
    x = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=fill)
    every = np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))
    return every[:, :, :: stride[0], :: stride[1]]


def test_the_settings_of_pooling_reach_every_axis() -> None:
    x = rng().normal(size=(2, 3, 7, 8))
    expected = windows(x, (3, 2), (2, 1), 1, -np.inf).max(axis=(-2, -1))
    assert np.allclose(nn.MaxPool2d((3, 2), (2, 1), 1)(x), expected)
    expected = windows(x, (3, 2), (2, 1), 1, 0.0).mean(axis=(-2, -1))
    assert np.allclose(nn.AvgPool2d((3, 2), (2, 1), 1)(x), expected)
    inside = windows(np.ones_like(x), (3, 2), (2, 1), 1, 0.0).mean(axis=(-2, -1))
    alone = nn.AvgPool2d((3, 2), (2, 1), 1, count_include_pad=False)
    assert np.allclose(alone(x), expected / inside)
    wide = np.full((1, 1, 3, 3), -5.0)
    wide[..., 2, 2] = 1.0
    assert np.array_equal(nn.MaxPool2d(2, 1, dilation=2)(wide), [[[[1.0]]]])
    assert np.array_equal(nn.MaxPool2d(2, ceil_mode=True)(wide)[0, 0], [[-5, -5], [-5, 1]])
    assert nn.AvgPool2d(2, ceil_mode=True)(wide).shape == (1, 1, 2, 2)


def test_groups_are_convolutions_side_by_side() -> None:
    both = nn.Conv2d(4, 6, 3, padding=1, groups=2, rng=rng())
    x = rng(1).normal(size=(2, 4, 5, 5))
    halves = []
    for i in range(2):
        half = nn.Conv2d(2, 3, 3, padding=1, rng=rng())
        half.load_state_dict({name: a[3 * i : 3 * i + 3] for name, a in both.state_dict().items()})
        halves.append(half(x[:, 2 * i : 2 * i + 2]).data)
    assert np.allclose(both(x).data, np.concatenate(halves, axis=1), atol=1e-14)


def test_dilation_is_a_kernel_with_zeros_between() -> None:
    wide, dense = nn.Conv2d(1, 1, 2, dilation=3, rng=rng()), nn.Conv2d(1, 1, 4, rng=rng())
    weight = np.zeros((1, 1, 4, 4))
    weight[..., ::3, ::3] = wide.weight.data
    dense.load_state_dict({"weight": weight, "bias": wide.bias.data})
    x = rng(1).normal(size=(1, 6, 6))
    assert np.allclose(wide(x).data, dense(x).data, atol=1e-14)


def test_same_padding_keeps_the_size() -> None:
    assert nn.Conv2d(1, 2, (3, 5), padding="same", rng=rng())(ones(1, 6, 7)).shape == (2, 6, 7)


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [("reflect", [2, 1], [2, 1]), ("replicate", [0, 0], [3, 3]), ("circular", [2, 3], [0, 1])],
)
@pytest.mark.parametrize("padding", [2, "same"])
def test_padding_modes_put_parts_of_the_image_at_its_ends(
    mode: str, before: Any, after: Any, padding: Any
) -> None:
    x = np.arange(4.0)
    wide = np.concatenate([before, x, after])
    layer = nn.Conv1d(1, 1, 5, padding=padding, padding_mode=mode, rng=rng())
    (weight,), bias = layer.weight.data[0], layer.bias.data
    expected = [wide[i : i + 5] @ weight + bias[0] for i in range(4)]
    assert np.allclose(layer(x[None]).data[0], expected, atol=1e-14)
    image = nn.Conv2d(1, 1, (1, 5), padding=(0, 2), padding_mode=mode, rng=rng())
    image.load_state_dict({"weight": layer.weight.data[:, :, None], "bias": bias})
    assert np.allclose(image(np.stack([x, x])[None]).data[0], [expected, expected], atol=1e-14)


def test_of_an_odd_number_of_same_padding_the_last_is_at_the_end() -> None:
    layer = nn.Conv1d(1, 1, 2, bias=False, padding="same", padding_mode="replicate", rng=rng())
    layer.weight.data = np.array([[[1.0, 10.0]]])
    assert layer(np.array([[1.0, 2, 3]])).data.tolist() == [[21, 32, 33]]


def test_padding_with_nothing_is_the_same_in_every_mode() -> None:
    x = rng(1).normal(size=(1, 5))
    layers = [
        nn.Conv1d(1, 1, 2, 1, "valid", padding_mode=m, rng=rng()) for m in ("zeros", "reflect")
    ]
    assert np.array_equal(*(layer(x).data for layer in layers))


@pytest.mark.parametrize(("mode", "most"), [("reflect", 2), ("circular", 3)])
def test_padding_cannot_be_longer_than_what_it_repeats(mode: str, most: int) -> None:
    x = ones(1, 3)
    nn.Conv1d(1, 1, 2, padding=most, padding_mode=mode, rng=rng())(x)
    layer = nn.Conv1d(1, 1, 2, padding=most + 1, padding_mode=mode, rng=rng())
    with pytest.raises(
        tg.InputError, match=rf"Conv1d: expected input .* '{mode}', got shape \(1, 3"
    ):
        layer(x)


def test_a_maximum_can_be_told_with_its_place() -> None:
    image = np.array([[[1.0, 5.0, 2.0], [4.0, 3.0, 9.0], [0.0, 0.0, 0.0]]])
    largest, place = nn.MaxPool2d(2, 1, return_indices=True)(tg.Tensor(image))
    assert largest.data.tolist() == [[[5, 9], [4, 9]]]
    assert np.asarray(place).tolist() == [[[1, 5], [3, 5]]]
    assert nn.MaxPool1d(2, return_indices=True)(image)[1].tolist() == [[[1], [0], [0]]]


def test_a_sum_can_be_divided_by_another_number() -> None:
    layer = nn.AvgPool2d(2, divisor_override=8)
    assert np.array_equal(layer(ones(1, 4, 4)), np.full((1, 2, 2), 0.5))


def test_a_convolution_of_a_sequence_by_hand() -> None:
    layer = nn.Conv1d(1, 1, 2, stride=2, padding=1, rng=rng())
    layer.weight.data = np.array([[[1.0, 10.0]]])
    layer.bias.data = np.array([100.0])
    assert layer(np.array([[[1.0, 2, 3]]])).data.tolist() == [[[110, 132]]]


def test_flatten_keeps_the_batch_and_unflatten_undoes_it() -> None:
    x = tg.Tensor(rng().normal(size=(2, 3, 4, 5)))
    flat = nn.Flatten()(x)
    assert flat.shape == (2, 60)
    assert np.array_equal(nn.Unflatten(1, (3, 4, 5))(flat).data, x.data)
    assert np.array_equal(nn.Unflatten(-1, (3, -1, 5))(flat).data, x.data)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Flatten()(ones(0, 3, 4)).shape == (0, 12)


def test_identity_returns_what_it_gets() -> None:
    x = tg.Tensor([1.0])
    assert nn.Identity()(x) is x


def test_two_linear_layers_are_one() -> None:
    a, b = nn.Linear(3, 5, rng=rng()), nn.Linear(5, 2, rng=rng(1))
    x = rng(2).normal(size=(7, 3))
    W = a.weight.data.T @ b.weight.data.T
    bias = a.bias.data @ b.weight.data.T + b.bias.data
    assert np.allclose(nn.Sequential(a, b)(x).data, x @ W + bias, atol=1e-12)


@pytest.mark.parametrize(("a", "b", "out"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_a_perceptron_with_a_step_is_a_gate(a: int, b: int, out: int) -> None:
    gate = nn.Perceptron(2, activation="step", rng=rng())
    gate.linear.weight.data = np.array([[1.0, 1.0]])
    gate.linear.bias.data = np.array([-1.5])
    assert np.asarray(gate(np.array([a, b])).data).item() == out


def test_a_step_lets_no_gradient_pass() -> None:
    gate = nn.Perceptron(2, 3, activation="step", rng=rng())
    np.sum(gate(rng(1).normal(size=(4, 2)))).backward()
    assert not gate.linear.weight.grad.any()


def test_a_perceptron_without_an_activation_is_linear() -> None:
    assert len(nn.Perceptron(2, activation="identity", rng=rng())) == 1
    assert len(nn.Perceptron(2, rng=rng())) == 2


def test_an_mlp_has_an_activation_after_each_layer_but_the_last() -> None:
    net = nn.MLP([2, 3, 4, 1], ["tanh", nn.GELU], output=nn.Sigmoid(), rng=rng())
    kinds = [type(layer).__name__ for layer in net]
    assert kinds == ["Linear", "Tanh", "Linear", "GELU", "Linear", "Sigmoid"]
    assert [type(layer).__name__ for layer in nn.MLP([2, 1], rng=rng())] == ["Linear"]


# -- training and evaluation -----------------------------------------------------------------------


def test_dropout_drops_in_training_only() -> None:
    layer = nn.Dropout(0.25, rng=rng())
    out = np.asarray(layer(np.ones(100_000)))
    assert set(np.unique(out)) == {0, 1 / 0.75}
    assert out.mean() == pytest.approx(1, abs=0.01)
    x = ones(3)
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_is_repeated_by_its_seed() -> None:
    one, other = (nn.Dropout(0.5, rng=rng(3))(ones(50)) for _ in range(2))
    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_batch_norm_follows_the_batches_and_then_uses_what_it_learnt() -> None:
    layer = nn.BatchNorm1d(2, momentum=0.25)
    batches = [rng(i).normal(i, 2, size=(6, 2)) for i in range(3)]
    mean, var = np.zeros(2), np.ones(2)
    for batch in batches:
        out = layer(batch)
        assert np.allclose(out.data.mean(axis=0), 0, atol=1e-12)
        mean = 0.75 * mean + 0.25 * batch.mean(axis=0)
        var = 0.75 * var + 0.25 * batch.var(axis=0, ddof=1)
    assert np.allclose(layer.running_mean.data, mean, rtol=1e-12)
    assert np.allclose(layer.running_var.data, var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    x = batches[0][:1]
    assert np.allclose(layer.eval()(x).data, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-12)
    assert np.allclose(layer.running_mean.data, mean, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3


def test_batch_norm_without_momentum_averages_all_batches_alike() -> None:
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [rng(i).normal(i, 2, size=(6, 2)) for i in range(4)]
    for batch in batches:
        layer(batch)
    means = np.mean([batch.mean(axis=0) for batch in batches], axis=0)
    assert np.allclose(layer.running_mean.data, means, rtol=1e-12)


def test_batch_norm_that_tracks_nothing_uses_the_batch_always() -> None:
    layer = nn.BatchNorm1d(2, track_running_stats=False).eval()
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert np.allclose(layer(rng().normal(3, 2, size=(6, 2))).data.mean(axis=0), 0, atol=1e-12)


def test_batch_norm_may_do_without_a_bias() -> None:
    assert "bias" not in nn.BatchNorm1d(2, bias=False).state_dict()
    assert not list(nn.BatchNorm1d(2, affine=False).parameters())


def test_batch_norm_between_forward_and_backward_may_see_another_batch() -> None:
    layer = nn.BatchNorm1d(2)
    x = tg.Tensor(rng().normal(size=(4, 2)), requires_grad=True)
    C = rng(1).normal(size=(4, 2))
    layer(x).backward(C)
    alone, x.grad = x.grad, None
    out = layer(x)
    layer(rng(2).normal(size=(4, 2)))
    out.backward(C)
    assert np.array_equal(x.grad, alone)


def test_padding_gets_no_gradient_but_keeps_its_value() -> None:
    layer = nn.Embedding(4, 2, padding_idx=1, sparse=False, rng=rng())
    layer.weight.data[1] = 5.0
    out = layer(np.array([[0, 1], [1, 2]]))
    assert np.array_equal(out.data[0, 1], [5, 5])
    out.backward(np.ones(out.shape))
    assert layer.weight.grad.tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]


def test_the_gradient_of_an_embedding_is_never_as_large_as_the_vocabulary() -> None:
    layer = nn.Embedding(1_000_000, 2, rng=rng(), dtype="f4")
    layer(np.array([7, 7, 123_456])).backward(np.ones((3, 2), "f4"))
    assert isinstance(layer.weight.grad, tg.RowSparse)
    assert layer.weight.grad.values.size <= 6
    assert set(layer.weight.grad.rows) == {7, 123_456}


# -- attention -------------------------------------------------------------------------------------


def test_causal_attention_does_not_look_ahead() -> None:
    block = nn.TransformerBlock(4, 2, 8, rng=rng()).eval()
    x = rng(1).normal(size=(2, 5, 4))
    later = x.copy()
    later[:, 3:] *= np.array([3.0, -1.0, 0.5, 2.0])
    before, after = (block(a, is_causal=True).data[:, :3] for a in (x, later))
    assert np.array_equal(before, after)
    assert not np.allclose(block(x).data[:, :3], block(later).data[:, :3])


def test_attention_without_positions_does_not_see_the_order() -> None:
    layer = nn.MultiheadAttention(4, 2, rng=rng())
    x = rng(1).normal(size=(5, 4))
    order = [3, 1, 4, 0, 2]
    assert np.allclose(layer(x[order]).data, layer(x).data[order], atol=1e-12)


def test_a_mask_is_named_for_it_means_the_opposite_in_pytorch() -> None:
    x, mask = ones(3, 4), np.tri(3, dtype=bool)
    with pytest.raises(TypeError, match="positional argument"):
        nn.MultiheadAttention(4, 2, rng=rng())(x, x, x, mask)
    with pytest.raises(TypeError, match="positional argument"):
        nn.TransformerBlock(4, 2, rng=rng())(x, mask)


def test_a_mask_says_where_a_token_may_look() -> None:
    layer = nn.MultiheadAttention(4, 2, rng=rng())
    x = rng(1).normal(size=(5, 4))
    mask = np.tri(5, dtype=bool)
    assert np.allclose(layer(x, attn_mask=mask).data, layer(x, is_causal=True).data, atol=1e-14)


def test_attention_may_look_at_other_tokens() -> None:
    layer = nn.MultiheadAttention(4, 2, rng=rng())
    query, key = rng(1).normal(size=(2, 3, 4)), rng(2).normal(size=(2, 6, 4))
    out = layer(query, key)
    assert out.shape == (2, 3, 4)
    assert np.allclose(out.data, layer(query, key, key).data)
    assert not np.allclose(out.data, layer(query, key, 2 * key).data)


def test_a_block_drops_in_training_and_starts_near_the_identity() -> None:
    block = nn.TransformerBlock(4, 2, 8, dropout=0.5, rng=rng())
    x = rng(1).normal(size=(3, 4))
    assert not np.array_equal(block(x).data, block(x).data)
    assert np.array_equal(block.eval()(x).data, block(x).data)
    for layer in (block.self_attn.out_proj, block.linear2):
        for p in layer.parameters():
            p.data = np.zeros(p.shape)
    assert np.array_equal(block(x).data, x)


# -- errors ----------------------------------------------------------------------------------------

WRONG_INPUTS: list[tuple[Any, Any, str]] = [
    (nn.Linear(784, 10, rng=rng()), ones(256, 10),
     r"^Linear: expected input of shape \(\.\.\., 784\), got \(256, 10\)$"),
    (nn.Linear(2, 1, rng=rng()), [1.0, 2.0], r"Linear: .*\(\.\.\., 2\), .* no shape; write"),
    (nn.Linear(2, 1, rng=rng()), ones(), r"Linear: .* got \(\)"),
    (nn.Conv2d(3, 1, 2, rng=rng()), ones(2, 1, 5, 5),
     r"Conv2d: .*\(N, 3, H, W\) or \(3, H, W\), got \(2, 1, 5, 5\)"),
    (nn.Conv2d(3, 1, 2, rng=rng()), ones(5, 5), r"Conv2d: .* got \(5, 5\)"),
    (nn.Conv1d(3, 1, 2, rng=rng()), ones(2, 5), r"Conv1d: .*\(N, 3, L\) or \(3, L\)"),
    (nn.BatchNorm1d(3), ones(4, 2), r"BatchNorm1d: .*\(N, 3\) or \(N, 3, L\), got \(4, 2\)"),
    (nn.BatchNorm2d(3), ones(4, 3), r"BatchNorm2d: .*\(N, 3, H, W\), got \(4, 3\)"),
    (nn.BatchNorm1d(3), ones(1, 3), r"BatchNorm1d: expected more than one number per channel"),
    (nn.BatchNorm1d(3), ones(0, 3),
     r"BatchNorm1d: expected more than one number per channel.* call model\.eval\(\)"),
    (nn.BatchNorm1d(3, track_running_stats=False).eval(), ones(1, 3), "has no variance$"),
    (nn.LayerNorm((2, 3)), ones(4, 3), r"LayerNorm: .*\(\.\.\., 2, 3\), got \(4, 3\)"),
    (nn.RMSNorm(3), ones(4, 2), r"RMSNorm: .*\(\.\.\., 3\), got \(4, 2\)"),
    (nn.MaxPool2d(2), ones(4, 4), r"MaxPool2d: .*\(N, C, H, W\) or \(C, H, W\), got \(4, 4\)"),
    (nn.AvgPool1d(2), ones(4), r"AvgPool1d: .*\(N, C, L\) or \(C, L\), got \(4,\)"),
    (nn.AdaptiveAvgPool2d(1), ones(4, 4), r"AdaptiveAvgPool2d: .*\(N, C, H, W\) or \(C, H, W\)"),
    (nn.Flatten(), ones(4), r"Flatten: expected input with axes 1 to -1, got shape \(4,\)"),
    (nn.Unflatten(1, (2, 2)), ones(4, 3), r"Unflatten: .* axis 1 divides into \(2, 2\), got"),
    (nn.Unflatten(1, (2, -1)), ones(4, 3), r"Unflatten: .* divides into \(2, -1\), got \(4, 3\)"),
    (nn.Unflatten(2, (1, 3)), ones(4, 3), r"Unflatten: .* with an axis 2, got \(4, 3\)"),
    (nn.GatedMLP(4, 6, rng=rng()), ones(2, 3), r"GatedMLP: .*\(\.\.\., 4\), got \(2, 3\)"),
    (nn.MultiheadAttention(4, 2, rng=rng()), ones(4),
     r"MultiheadAttention: .*\(\.\.\., L, 4\) with L >= 1, got \(4,\)"),
    (nn.MultiheadAttention(4, 2, rng=rng()), ones(2, 0, 4), r"L >= 1, got \(2, 0, 4\)"),
    (nn.TransformerBlock(4, 2, rng=rng()), ones(2, 3), r"TransformerBlock: .*\(\.\.\., L, 4\)"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "x", "message"), WRONG_INPUTS)
def test_an_input_that_does_not_fit_is_refused_by_the_layers_name(
    layer: Any, x: Any, message: str
) -> None:
    with pytest.raises(tg.InputError, match=message):
        layer(x)


OF_NUMBERS: list[tuple[Any, Any]] = [
    (nn.Linear(3, 2, rng=rng()), (4, 3)),
    (nn.Conv1d(3, 2, 2, rng=rng()), (4, 3, 5)),
    (nn.MaxPool1d(2), (4, 3, 5)),
    (nn.AdaptiveAvgPool2d(1), (4, 3, 5, 5)),
    (nn.LayerNorm(3), (4, 3)),
    (nn.BatchNorm1d(3), (4, 3)),
    (nn.GRU(3, 2, rng=rng()), (4, 2, 3)),
    (nn.GRUCell(3, 2, rng=rng()), (4, 3)),
    (nn.TransformerBlock(4, 2, rng=rng()), (2, 3, 4)),
]


@pytest.mark.parametrize(("layer", "shape"), OF_NUMBERS)
@pytest.mark.parametrize("dtype", [complex, object, "U1"])
def test_what_is_no_real_number_is_refused_by_the_layers_name(
    layer: Any, shape: Any, dtype: Any
) -> None:
    name = type(layer).__name__
    with pytest.raises(tg.DtypeError, match=f"^{name}: expected an array of real numbers, got nda"):
        layer(np.ones(shape).astype(dtype))


OF_FLOATS: list[tuple[Any, Any]] = [
    *((layer, shape) for layer, shape in OF_NUMBERS if "Norm" in type(layer).__name__),
    (nn.BatchNorm1d(3).eval(), (4, 3)),
    (nn.RMSNorm(3), (4, 3)),
    (nn.LSTMCell(3, 2, rng=rng()), (4, 3)),
    (nn.Dropout(0.5, rng=rng()), (4, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), OF_FLOATS)
def test_integers_are_refused_where_they_would_be_rounded(layer: Any, shape: Any) -> None:
    name = type(layer).__name__
    with pytest.raises(
        tg.DtypeError, match=f"^{name}: expected floats, got dtype int64; use x.ast"
    ):
        layer(np.ones(shape, int))


@pytest.mark.parametrize("layer", [layer for layer, _ in ACTIVATIONS])
@pytest.mark.parametrize("wrong", [None, "text", np.ones((4, 3), bool), np.ones((4, 3), complex)])
def test_an_activation_of_what_is_no_number_is_refused_by_its_name(layer: Any, wrong: Any) -> None:
    name = type(layer).__name__
    wanted = f"^{name}: expected integers or floats, got {type(wrong).__name__} of dtype"
    with pytest.raises(tg.DtypeError, match=wanted):
        layer(wrong)


def test_a_list_may_go_into_an_activation() -> None:
    assert nn.ReLU()([-1.0, 2.0]).tolist() == [0, 2]


@pytest.mark.parametrize("mask", [np.tri(3, dtype=int), np.tri(3, dtype=np.uint8).tolist()])
def test_a_mask_of_integers_is_refused(mask: Any) -> None:
    layer = nn.MultiheadAttention(4, 2, rng=rng())
    with pytest.raises(tg.DtypeError, match=r"MultiheadAttention: .* use mask\.astype\(bool\)"):
        layer(ones(3, 4), attn_mask=mask)


def test_a_message_says_where_in_the_network_the_layer_is() -> None:
    net = nn.Sequential(nn.Linear(3, 4, rng=rng()), nn.MLP([5, 2], rng=rng()))
    with pytest.raises(tg.InputError, match=r"^Linear \(Sequential/1/0\): expected input"):
        net(ones(2, 3))


def test_bilinear_names_the_input_that_does_not_fit() -> None:
    with pytest.raises(tg.InputError, match=r"Bilinear: .*\(\.\.\., 4\), got \(2, 3\)"):
        nn.Bilinear(3, 4, 2, rng=rng())(ones(2, 3), ones(2, 3))


def test_a_refused_batch_leaves_the_statistics_alone() -> None:
    layer = nn.BatchNorm1d(3)
    with pytest.raises(tg.InputError):
        layer(ones(1, 3))
    assert layer.num_batches_tracked.item() == 0
    assert not layer.running_mean.data.any()


@pytest.mark.parametrize("index", [4, -1])
def test_an_index_outside_the_vocabulary_is_refused(index: int) -> None:
    with pytest.raises(tg.IndexingError, match="Embedding: expected numbers between 0 and 3, got"):
        nn.Embedding(4, 2, rng=rng())(np.array([0, index]))


def test_an_index_that_is_no_integer_is_refused() -> None:
    with pytest.raises(tg.DtypeError, match="Embedding: expected integers, got dtype float64"):
        nn.Embedding(4, 2, rng=rng())(np.array([0.0]))


WRONG_SETTINGS: list[tuple[Any, str]] = [
    (lambda: nn.Linear(0, 2, rng=rng()), "Linear: expected in_features to be a positive integer"),
    (lambda: nn.Linear(2, 2.0, rng=rng()), r"Linear: expected out_features .* got 2\.0"),
    (lambda: nn.Linear(2, True, rng=rng()), "Linear: expected out_features .* got True"),
    (lambda: nn.Conv2d(4, 6, 3, groups=3, rng=rng()), "Conv2d: expected groups to divide"),
    (lambda: nn.Conv2d(4, 6, (3, 0), rng=rng()), "Conv2d: .*kernel_size"),
    (lambda: nn.Conv2d(4, 6, 3, padding="some", rng=rng()), "Conv2d: expected padding"),
    (lambda: nn.Conv2d(4, 6, 3, 2, "same", rng=rng()), "Conv2d: padding 'same' needs stride 1"),
    (lambda: nn.Conv2d(4, 6, 3, padding_mode="mirror", rng=rng()),
     "Conv2d: expected padding_mode 'zeros', 'reflect', 'replicate', 'circular', got 'mirror'"),
    (lambda: nn.MaxPool2d(0), "MaxPool2d: expected kernel_size to be an integer of at least 1"),
    (lambda: nn.MaxPool1d(2, dilation=0), "MaxPool1d: expected dilation"),
    (lambda: nn.AvgPool2d(2, (1, 2, 3)), "AvgPool2d: expected stride .* or 2 of them"),
    (lambda: nn.AvgPool1d(2, padding=-1), "AvgPool1d: expected padding to be .* at least 0"),
    (lambda: nn.Embedding(4, 2, padding_idx=4, rng=rng()), "Embedding: expected padding_idx below"),
    (lambda: nn.Embedding(4, 2, padding_idx=1.5, rng=rng()), r"below num_embeddings = 4, got 1\.5"),
    (lambda: nn.Dropout(1.5, rng=rng()), r"Dropout: expected p between 0 and 1, got 1\.5"),
    (lambda: nn.LayerNorm((2, 0)), r"LayerNorm: expected normalized_shape\[1\]"),
    (lambda: nn.LayerNorm(()), "LayerNorm: expected normalized_shape to have an axis"),
    (lambda: nn.LayerNorm(2.0), r"LayerNorm: expected normalized_shape\[0\] to be a positive"),
    (lambda: nn.LayerNorm(2, eps=-1.0), r"LayerNorm: expected eps to be 0 or more, got -1\.0"),
    (lambda: nn.RMSNorm(2, eps="a"), "RMSNorm: expected eps to be 0 or more, got 'a'"),
    (lambda: nn.BatchNorm1d(2, None), "BatchNorm1d: expected eps to be 0 or more, got None"),
    (lambda: nn.BatchNorm1d(2, momentum=2.0), "BatchNorm1d: expected momentum between 0 and 1"),
    (lambda: nn.BatchNorm1d(2, momentum="a"), "BatchNorm1d: expected momentum between 0 and 1"),
    (lambda: nn.Hardtanh(1.0, -1.0), "Hardtanh: expected min_val < max_val"),
    (lambda: nn.MLP([3], rng=rng()), "MLP: expected widths of at least two layers"),
    (lambda: nn.MLP(3, rng=rng()), "MLP: expected widths of at least two layers, got 3"),
    (lambda: nn.MLP([3, 2, 1], ["tanh", "tanh"], rng=rng()),
     "MLP: expected an activation for each of 1 hidden layers, got 2"),
    (lambda: nn.MLP([3, 2, 1], "rleu", rng=rng()), "MLP: expected an activation: .* got 'rleu'"),
    (lambda: nn.GatedMLP(4, 6, 4, rng=rng()),
     "GatedMLP: expected parts to divide intermediate_size = 6, got 4"),
    (lambda: nn.MultiheadAttention(4, 3, rng=rng()), "expected num_heads to divide embed_dim = 4"),
    (lambda: nn.TransformerBlock(4, 2, dropout=-1, rng=rng()), "expected dropout between 0 and 1"),
    (lambda: nn.GELU("exact"), "GELU: expected approximate 'none' or 'tanh'"),
    (lambda: nn.Softplus(0.0), "Softplus: expected beta > 0"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), WRONG_SETTINGS)
def test_settings_that_make_no_sense_are_refused_when_a_layer_is_made(
    make: Any, message: str
) -> None:
    with pytest.raises(tg.InputError, match=message):
        make()


def test_integers_cannot_be_learnt() -> None:
    with pytest.raises(tg.DtypeError, match="requires_grad: expected a float dtype"):
        nn.Linear(2, 2, rng=rng(), dtype=int)


REPRS: list[tuple[Any, str]] = [
    (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
    (nn.ELU(), "ELU(alpha=1.0)"),
    (nn.CELU(), "CELU(alpha=1.0)"),
    (nn.Hardtanh(), "Hardtanh(min_val=-1.0, max_val=1.0)"),
    (nn.GELU(), "GELU(approximate='none')"),
    (nn.Softplus(), "Softplus(beta=1.0)"),
    (nn.Softmax(1), "Softmax(dim=1)"),
    (nn.Dropout(0.0), "Dropout(p=0.0)"),
    (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    (nn.Unflatten(1, (2, 3)), "Unflatten(dim=1, unflattened_size=(2, 3))"),
    (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0)"),
    (nn.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d(output_size=1)"),
    (nn.LayerNorm(3), "LayerNorm((3,), eps=1e-05, elementwise_affine=True)"),
    (nn.BatchNorm1d(3, affine=False),
     "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=True)"),
    (nn.Conv2d(1, 2, 3, 2, bias=False, rng=rng()),
     "Conv2d(1, 2, kernel_size=(3, 3), stride=(2, 2), bias=False)"),
    (nn.Conv1d(1, 2, 3, padding="same", padding_mode="reflect", rng=rng()),
     "Conv1d(1, 2, kernel_size=(3,), padding='same', padding_mode='reflect')"),
    (nn.Bilinear(1, 2, 3, rng=rng()),
     "Bilinear(in1_features=1, in2_features=2, out_features=3, bias=True)"),
    (nn.Embedding(5, 3, 0, rng=rng()), "Embedding(5, 3, padding_idx=0)"),
    (nn.GRUCell(3, 2, bias=False, rng=rng()), "GRUCell(3, 2, bias=False)"),
    (nn.LSTM(3, 2, bidirectional=True, rng=rng()), "LSTM(3, 2, bidirectional=True)"),
    (nn.GatedMLP(4, 6, 2, rng=rng()), "GatedMLP(4, 6, parts=2"),
    (nn.MultiheadAttention(4, 2, rng=rng()), "MultiheadAttention(4, num_heads=2"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "text"), REPRS)
def test_repr_shows_the_settings_of_a_layer(layer: Any, text: str) -> None:
    assert repr(layer).split("  #")[0].split("\n")[0] == text


def test_attention_and_mlp_may_do_without_biases() -> None:
    layer = nn.MultiheadAttention(4, 2, bias=False, rng=rng())
    assert list(layer.state_dict()) == ["in_proj_weight", "out_proj.weight"]
    assert layer(ones(3, 4)).shape == (3, 4)
    net = nn.MLP([2, 3, 1], bias=False, rng=rng())
    assert list(net.state_dict()) == ["0.weight", "2.weight"]


# -- the package -----------------------------------------------------------------------------------


def test_nn_optim_and_data_are_loaded_when_they_are_first_used() -> None:
    code = (
        "import sys, tinygrad_edu as tg\n"
        "names = ['tinygrad_edu.' + n for n in ('nn', 'optim', 'data')]\n"
        "print([n in sys.modules for n in names])\n"
        "print(tg.nn.Linear.__name__, tg.data.load_digits.__name__, tg.optim.__name__)\n"
        "print([n in sys.modules for n in names])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                          text=True, check=True)  # fmt: skip
    first, names, last = done.stdout.splitlines()
    assert first == "[False, False, False]"
    assert names == "Linear load_digits tinygrad_edu.optim"
    assert last == "[True, True, True]"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("MaxPool", r"use nn\.MaxPool1d or nn\.MaxPool2d"),
        ("BatchNorm", r"use nn\.BatchNorm1d or nn\.BatchNorm2d"),
        ("ModuleList", "use a list"),
        ("Liner", "has no attribute 'Liner'$"),
    ],
)
def test_a_name_that_is_not_here_is_told_from_one_that_is(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=instead):
        getattr(nn, name)
    assert not hasattr(nn, name)


def test_every_public_layer_says_what_it_is() -> None:
    for name in nn.__all__:
        thing = getattr(nn, name)
        assert (thing.__doc__ or "").strip(), name
    assert sorted(nn.__all__) == sorted(set(nn.__all__))


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(2, 3, rng=rng()), nn.ReLU(), nn.Softmax(), nn.LayerNorm(2), nn.Dropout(0.0)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_masked_array_is_refused_because_its_mask_would_be_lost(layer: Any) -> None:
    with pytest.raises(tg.DtypeError, match=f"{type(layer).__name__}: .*MaskedArray"):
        layer(np.ma.masked_greater(np.ones((4, 2)), 0))


def test_padding_that_is_set_later_is_that_of_the_next_call() -> None:
    layer = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular", rng=rng())
    layer.padding = 2
    assert layer(ones(1, 1, 6)).shape == (1, 1, 8)

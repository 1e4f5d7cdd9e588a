"""Convolution: against naive loops, by hand, as one trilinear form, and what it refuses."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.ops import convolution

CONV = {1: tg.conv1d, 2: tg.conv2d, 3: tg.conv3d}
TRANSPOSED = {1: tg.conv_transpose1d, 2: tg.conv_transpose2d, 3: tg.conv_transpose3d}
SIZE, KERNEL = (5, 6, 4), (2, 3, 2)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


def terms(
    x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Every product of a convolution: where it goes, where it comes from, which weight."""
    size, kernel = x.shape[2:], w.shape[2:]
    count = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    ]
    per_group = w.shape[0] // groups, w.shape[1]
    for n, o, c in product(range(len(x)), range(w.shape[0]), range(w.shape[1])):
        channel = o // per_group[0] * per_group[1] + c
        for place, at in product(product(*map(range, count)), product(*map(range, kernel))):
            source = tuple(
                s * i + d * k - p
                for i, k, s, p, d in zip(place, at, stride, padding, dilation, strict=True)
            )
            if all(0 <= i < m for i, m in zip(source, size, strict=True)):
                yield (n, o, *place), (n, channel, *source), (o, c, *at)


CASES = [
    (axes, stride, padding, dilation, groups)
    for axes in (1, 2, 3)
    for stride, padding, dilation, groups in [
        (1, 0, 1, 1), (2, 1, 1, 2), (1, 1, 2, 1), (2, 0, 2, 4), (3, 2, 1, 1),
    ]
]  # fmt: skip


@pytest.mark.parametrize(("axes", "stride", "padding", "dilation", "groups"), CASES)
def test_convolution_and_its_gradients_are_those_of_naive_loops(
    axes: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    x, b = drawn(2, 4, *SIZE[:axes]), drawn(4, seed=1)
    w = drawn(4, 4 // groups, *KERNEL[:axes], seed=2)
    tensors = [Tensor(a, requires_grad=True) for a in (x, w, b)]
    y = CONV[axes](*tensors, stride, padding, dilation, groups)
    g = drawn(*y.shape, seed=3)
    y.backward(g)

    expected = np.zeros(y.shape) + b.reshape((-1, *(1,) * axes))
    d_x, d_w = np.zeros_like(x), np.zeros_like(w)
    for to, source, weight in terms(
        x, w, (stride,) * axes, (padding,) * axes, (dilation,) * axes, groups
    ):
        expected[to] += w[weight] * x[source]
        d_x[source] += g[to] * w[weight]
        d_w[weight] += g[to] * x[source]
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-13)
    np.testing.assert_allclose(tensors[0].grad, d_x, atol=1e-13)
    np.testing.assert_allclose(tensors[1].grad, d_w, atol=1e-13)
    np.testing.assert_allclose(tensors[2].grad, g.sum(axis=(0, *range(2, axes + 2))), rtol=1e-12)


@pytest.mark.parametrize(("axes", "stride", "padding", "dilation", "groups"), CASES)
def test_transposed_convolution_is_the_adjoint_of_convolution(
    axes: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    x = drawn(2, 4, *SIZE[:axes])
    w = drawn(4, 4 // groups, *KERNEL[:axes], seed=2)
    options: Any = {
        "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
    }  # fmt: skip
    y = CONV[axes](x, w, **options)
    h = drawn(*y.shape, seed=3)
    back = TRANSPOSED[axes](h, w, **options)
    more = tuple(n - m for n, m in zip(x.shape[2:], back.shape[2:], strict=True))
    back = TRANSPOSED[axes](h, w, **options, output_padding=more)
    np.testing.assert_allclose(np.vdot(back, x), np.vdot(h, y), rtol=1e-11)


def test_the_three_ops_are_one_trilinear_form() -> None:
    how = ((2, 1), ((1, 0), (0, 2)), (1, 2), 2)
    x, w = drawn(2, 4, 5, 6), drawn(6, 2, 2, 3, seed=1)
    y = convolution.convolution(x, w, None, how=how)
    h = drawn(*y.shape, seed=2)
    form = np.vdot(h, y)
    spread = convolution.convolution_x(h, w, size=(5, 6), how=how)
    weighted = convolution.convolution_w(h, x, size=(2, 3), how=how)
    np.testing.assert_allclose(np.vdot(spread, x), form, rtol=1e-12)
    np.testing.assert_allclose(np.vdot(weighted, w), form, rtol=1e-12)


def test_by_hand() -> None:
    x = np.array([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    w = np.array([[[[1.0, 0], [0, -1]]]])
    assert tg.conv2d(x, w).tolist() == [[[[-4, -4], [-4, -4]]]]  # the kernel is not flipped
    assert tg.conv2d(x, w, np.array([10.0])).tolist() == [[[[6, 6], [6, 6]]]]
    assert tg.conv2d(x, w, stride=2).tolist() == [[[[-4]]]]
    assert tg.conv2d(x, w, dilation=2).tolist() == [[[[-8]]]]
    assert tg.conv2d(x, w, padding=(1, 0))[0, 0, 0].tolist() == [-2, -3]
    t = Tensor(x, requires_grad=True)
    tg.conv2d(t, w).backward(np.ones((1, 1, 2, 2)))
    assert t.grad[0, 0].tolist() == [[1, 1, 0], [1, 0, -1], [0, -1, -1]]
    assert tg.conv_transpose2d(np.ones((1, 1, 2, 2)), w).tolist() == t.grad.tolist()
    assert tg.conv_transpose1d(np.array([[1.0, 2]]), np.array([[[1.0, 1]]]), stride=2).tolist() == [
        [1, 1, 2, 2]
    ]
    assert tg.conv_transpose1d(
        np.array([[1.0, 2]]), np.array([[[1.0]]]), np.array([5.0]), 3, output_padding=2
    ).tolist() == [[6, 5, 5, 7, 5, 5]]


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_keeps_the_size_and_pads_more_at_the_end(kernel: int, dilation: int) -> None:
    x, w = drawn(1, 1, 9), drawn(1, 1, kernel, seed=1)
    total = dilation * (kernel - 1)
    padded = np.pad(x, ((0, 0), (0, 0), (total // 2, total - total // 2)))
    found = tg.conv1d(x, w, padding="same", dilation=dilation)
    assert found.shape == x.shape
    np.testing.assert_allclose(found, tg.conv1d(padded, w, dilation=dilation))
    np.testing.assert_array_equal(tg.conv1d(x, w, padding="valid"), tg.conv1d(x, w))


def test_numpy_convolves_with_the_flipped_kernel() -> None:
    x, w = drawn(8), drawn(3, seed=1)
    np.testing.assert_allclose(
        tg.conv1d(x[None], w[None, None, ::-1])[0], np.convolve(x, w, mode="valid")
    )


def test_depthwise_convolution_treats_each_channel_by_itself() -> None:
    x, w = drawn(2, 3, 5, 5), drawn(3, 1, 2, 2, seed=1)
    together = tg.conv2d(x, w, groups=3)
    alone = [tg.conv2d(x[:, i : i + 1], w[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1))


def test_one_image_is_a_batch_of_one() -> None:
    x, w, b = drawn(2, 4, 5), drawn(3, 2, 2, 2, seed=1), drawn(3, seed=2)
    np.testing.assert_array_equal(tg.conv2d(x, w, b), tg.conv2d(x[None], w, b)[0])
    w = drawn(2, 3, 2, 2, seed=1)
    np.testing.assert_array_equal(
        tg.conv_transpose2d(x, w, b, stride=2), tg.conv_transpose2d(x[None], w, b, stride=2)[0]
    )


def test_lists_and_tensors_without_a_gradient_work() -> None:
    assert tg.conv1d([[1.0, 2.0, 3.0]], [[[1.0, 1.0]]]).tolist() == [[3, 5]]
    y = tg.conv1d(Tensor([[1.0, 2.0, 3.0]]), Tensor([[[1.0, 1.0]]]))
    assert isinstance(y, Tensor)
    assert not y.requires_grad


@pytest.mark.parametrize("empty", [(0, 2, 4, 4), (0, 2, 2, 2)])
def test_an_empty_batch(empty: tuple[int, ...]) -> None:
    x, w = (
        Tensor(np.zeros(empty), requires_grad=True),
        Tensor(drawn(3, 2, 2, 2), requires_grad=True),
    )
    y = tg.conv2d(x, w)
    assert y.shape == (0, 3, empty[2] - 1, empty[3] - 1)
    y.backward(np.zeros(y.shape))
    assert x.grad.shape == empty
    assert not w.grad.any()


def test_the_batch_stays_last_in_memory() -> None:
    x = Tensor(drawn(3, 2, 6, 6), requires_grad=True)
    w, b = drawn(2, 2, 3, 3, seed=1), drawn(2, seed=2)
    hidden = tg.relu(tg.conv2d(x, w, b))
    y = tg.conv_transpose2d(tg.max_pool2d(hidden, 2), w, b, stride=2)
    for t in (hidden, y):
        assert np.moveaxis(t.data, 0, -1).flags.c_contiguous
    y.backward(drawn(*y.shape, seed=3))
    assert x.grad.flags.c_contiguous  # it is the leaf's own


@pytest.mark.parametrize("f", [tg.conv2d, tg.conv_transpose2d])
def test_float32_stays_float32(f: Any) -> None:
    x, w, b = (
        Tensor(a.astype("f"), requires_grad=True)
        for a in (drawn(2, 2, 4, 4), drawn(2, 2, 3, 3, seed=1), drawn(2, seed=2))
    )
    y = f(x, w, b, padding=1)
    y.backward(np.ones(y.shape))
    assert {t.dtype for t in (y, x.grad, w.grad, b.grad)} == {np.dtype("f")}
    exact = f(x.data.astype(float), w.data.astype(float), b.data.astype(float), padding=1)
    np.testing.assert_allclose(y.numpy(), exact, atol=1e-5)


def test_a_wider_bias_widens_the_result() -> None:
    x, w = np.ones((1, 1, 3), "f"), np.ones((1, 1, 2), "f")
    assert tg.conv1d(x, w, np.ones(1)).dtype == np.float64


def test_hessian_vector_product_through_two_layers() -> None:
    x = drawn(1, 2, 4, 4)

    def loss(w: Any) -> Any:
        hidden = np.tanh(tg.conv2d(x, w, padding=1))
        return np.sum(tg.conv2d(hidden, w, stride=2) ** 2)

    w, v = drawn(2, 2, 2, 2, seed=1), drawn(2, 2, 2, 2, seed=2)
    step = 1e-5
    slope = (tg.grad(loss)(w + step * v) - tg.grad(loss)(w - step * v)) / (2 * step)
    np.testing.assert_allclose(tg.hvp(loss, w, v), slope, rtol=1e-6, atol=1e-7)


def test_a_traced_program_gives_the_same() -> None:
    x, w, b = drawn(1, 2, 4, 4), drawn(2, 2, 2, 2, seed=1), drawn(2, seed=2)

    def loss(x: Any, w: Any, b: Any) -> Any:
        return np.sum(tg.conv2d(x, w, b, stride=2) ** 2)

    value, gradients = tg.trace(loss, x, w, b)(x, w, b)
    np.testing.assert_allclose(value, loss(x, w, b))
    for found, wanted in zip(gradients, tg.grad(loss, argnums=(0, 1, 2))(x, w, b), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


# -- refusals ------------------------------------------------------------------------------------

X, W = np.ones((2, 4, 5, 6)), np.ones((6, 4, 3, 3))


@pytest.mark.parametrize("wrap", [np.array, lambda x: Tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("f", "args", "message"),
    [
        (tg.conv2d, (X[0, 0], W), r"conv2d: expected x \(N, C, H, W\) or .* got x \(5, 6\)"),
        (tg.conv2d, (X, W[0]), r"weight with 4 axes, got .* weight \(4, 3, 3\)"),
        (tg.conv2d, (X, W[:, :3]), r"with C/groups = 4 .* got weight \(6, 3, 3, 3\)"),
        (tg.conv2d, (X, W, None, 1, 0, 1, 2), r"C/groups = 2 .*groups=2\), got weight \(6, 4,"),
        (tg.conv2d, (X, W, None, 1, 0, 1, 3), r"groups must divide .* got groups=3, x \(2, 4,"),
        (tg.conv2d, (X, W, None, 1, 0, 1, 0), "groups must divide .* got groups=0"),
        (tg.conv2d, (X, W, np.ones(4)), r"conv2d: expected bias \(6,\), .* got \(4,\)"),
        (tg.conv2d, (X, np.ones((6, 4, 6, 3))), r"kernel of \(6, 3\).* for an input of \(5, 6\)"),
        (tg.conv2d, (X, W, None, 1, 0, 3), r"its dilation \(7, 7\)\) for an input of \(5, 6\)"),
        (tg.conv2d, (X, np.ones((6, 4, 0, 3))), r"kernel of \(0, 3\)"),
        (tg.conv2d, (X, W, None, 0), "stride to be an integer of at least 1, .* got 0"),
        (tg.conv2d, (X, W, None, (1, 1, 1)), r"stride .* or 2 of them, got \(1, 1, 1\)"),
        (tg.conv2d, (X, W, None, 1.5), "stride to be an integer .* got 1.5"),
        (tg.conv2d, (X, W, None, 1, -1), "padding to be an integer of at least 0, .* got -1"),
        (tg.conv2d, (X, W, None, 1, "full"), "'same', 'valid' or numbers, got 'full'"),
        (tg.conv2d, (X, W, None, 2, "same"), r"padding 'same' needs stride 1, got .*\(2, 2\)"),
        (tg.conv1d, (X, W), r"conv1d: expected x \(N, C, W\)"),
        (tg.conv_transpose2d, (X, W), r"weight \(C, O/groups, ...\) with C = 4.* weight \(6, 4,"),
        (tg.conv_transpose2d, (X, W[:4], np.ones(6)), r"transpose2d: expected bias \(4,\)"),
        (tg.conv_transpose2d, (X, W[:4], None, 1, 0, 1), r"output_padding less than stride, got"),
        (tg.conv_transpose2d, (X, W[:4], None, 1, 4), r"padding \(4, 4\) leaves nothing"),
    ],
)
def test_refused(wrap: Any, f: Any, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        f(*(wrap(a) if isinstance(a, np.ndarray) else a for a in args))


def test_other_kinds_of_arrays_are_refused() -> None:
    da = pytest.importorskip("dask.array")
    x = Tensor(da.ones((1, 1, 4)), requires_grad=True)
    with pytest.raises(tg.UnsupportedError, match=r"convolution: expected NumPy arrays, .*dask"):
        tg.conv1d(x, np.ones((1, 1, 2)))

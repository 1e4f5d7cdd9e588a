"""Shape, order, copies: linear maps, so checked exactly."""

from typing import Any

import numpy as np
import pytest
from affine import check_affine

import tinygrad_edu as tg
from tinygrad_edu import Tensor

CASES: list[Any] = [
    ("reshape", lambda x: np.reshape(x, (3, 4)), (2, 6)),
    ("reshape -1", lambda x: np.reshape(x, (2, -1)), (2, 3, 2)),
    ("reshape int", lambda x: np.reshape(x, -1), (2, 3)),
    ("reshape F", lambda x: np.reshape(x, (3, 4), order="F"), (2, 6)),
    ("reshape 0-d", lambda x: np.reshape(x, (1, 1)), ()),
    ("reshape to 0-d", lambda x: np.reshape(x, ()), (1, 1)),
    ("reshape empty", lambda x: np.reshape(x, (3, 0)), (0, 2)),
    ("method", lambda x: x.reshape(4, 3), (2, 6)),
    ("method, tuple", lambda x: x.reshape((4, -1)), (2, 6)),
    ("ravel", np.ravel, (2, 3)),
    ("ravel 0-d", np.ravel, ()),
    ("ravel empty", np.ravel, (0, 3)),
    ("ravel F", lambda x: np.ravel(x, order="F"), (2, 3)),
    ("transpose", np.transpose, (2, 3, 4)),
    ("T", lambda x: x.T, (2, 3)),
    ("transpose axes", lambda x: np.transpose(x, (1, 2, 0)), (2, 3, 4)),
    ("transpose negative", lambda x: np.transpose(x, (-1, 0, 1)), (2, 3, 4)),
    ("transpose method", lambda x: x.transpose(2, 0, 1), (2, 3, 4)),
    ("transpose 0-d", np.transpose, ()),
    ("matrix_transpose", np.matrix_transpose, (2, 3, 4)),
    ("linalg.matrix_transpose", np.linalg.matrix_transpose, (2, 3, 4)),
    ("swapaxes", lambda x: np.swapaxes(x, 0, -1), (2, 3, 4)),
    ("moveaxis", lambda x: np.moveaxis(x, 0, -1), (2, 3, 4)),
    ("moveaxis many", lambda x: np.moveaxis(x, (0, 1), (-1, 0)), (2, 3, 4)),
    ("rollaxis", lambda x: np.rollaxis(x, 2), (2, 3, 4)),
    ("rollaxis on", lambda x: np.rollaxis(x, 0, 3), (2, 3, 4)),
    ("rollaxis negative", lambda x: np.rollaxis(x, -1, -2), (2, 3, 4)),
    ("rollaxis still", lambda x: np.rollaxis(x, 1, 1), (2, 3, 4)),
    ("broadcast_to", lambda x: np.broadcast_to(x, (4, 3, 2)), (3, 1)),
    ("broadcast_to same", lambda x: np.broadcast_to(x, (3, 1)), (3, 1)),
    ("broadcast_to from 0-d", lambda x: np.broadcast_to(x, (2, 2)), ()),
    ("broadcast_to empty", lambda x: np.broadcast_to(x, (0, 3)), (1, 3)),
    ("broadcast_arrays", lambda x, y: np.broadcast_arrays(x, y), (3, 1), (4,)),
    ("expand_dims", lambda x: np.expand_dims(x, 1), (2, 3)),
    ("expand_dims many", lambda x: np.expand_dims(x, (0, -1)), (2, 3)),
    ("squeeze", np.squeeze, (1, 2, 1, 3)),
    ("squeeze axis", lambda x: np.squeeze(x, axis=-2), (1, 2, 1, 3)),
    ("squeeze to 0-d", np.squeeze, (1, 1)),
    ("atleast_1d", np.atleast_1d, ()),
    ("atleast_2d", np.atleast_2d, (3,)),
    ("atleast_3d", np.atleast_3d, (3,)),
    ("atleast_3d of a matrix", np.atleast_3d, (2, 3)),
    ("atleast_3d of a number", np.atleast_3d, ()),
    ("atleast_2d of many", lambda x, y, z: np.atleast_2d(x, y, z), (3,), (), (2, 2)),
    ("flip", np.flip, (2, 3)),
    ("flip axis", lambda x: np.flip(x, 1), (2, 3)),
    ("flip axes", lambda x: np.flip(x, (0, -1)), (2, 3, 2)),
    ("flipud", np.flipud, (2, 3)),
    ("fliplr", np.fliplr, (2, 3)),
    *((f"rot90 {k}", lambda x, k=k: np.rot90(x, k, (2, 0)), (2, 3, 4)) for k in range(-2, 5)),
    ("roll", lambda x: np.roll(x, 2), (2, 3)),
    ("roll axis", lambda x: np.roll(x, 2, axis=1), (2, 5)),
    ("roll axes", lambda x: np.roll(x, (1, -2), axis=(0, 1)), (2, 5)),
    ("concat is concatenate", lambda x: np.concat([x, x]), (2,)),
    ("permute_dims is transpose", lambda x: np.permute_dims(x, (1, 0)), (2, 3)),
    ("resize larger", lambda x: np.resize(x, (3, 5)), (2, 3)),
    ("resize smaller", lambda x: np.resize(x, 4), (2, 3)),
    ("resize 0-d", lambda x: np.resize(x, (2, 2)), ()),
    ("resize to 0-d", lambda x: np.resize(x, ()), (2,)),
    ("copy", np.copy, (2, 3)),
    ("copy 0-d", np.copy, ()),
]


@pytest.mark.parametrize(
    ("f", "shapes"), [(case[1], case[2:]) for case in CASES], ids=[case[0] for case in CASES]
)
def test_values_and_gradients_of_every_order(f: Any, shapes: Any) -> None:
    check_affine(f, *shapes)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.reshape(x, -1),
        lambda x: np.transpose(x, (1, 0)),
        lambda x: np.broadcast_to(x, (2, 3, 4)),
        lambda x: np.roll(x, 1),
    ],
)
def test_float32_stays_float32(f: Any) -> None:
    x = Tensor(np.ones((3, 4), np.float32), requires_grad=True)
    y = f(x)
    np.sum(y * y).backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(
    ("axis", "shape", "whole"),
    [
        (1, (2, 3), (2, 2, 3, 4)),
        (-2, (3, -1), (2, 3, 2, 4)),
        (0, (2,), (2, 6, 4)),
        (1, (1, 6, 1), (2, 1, 6, 1, 4)),
    ],
)
def test_unflatten(axis: int, shape: Any, whole: Any) -> None:
    check_affine(lambda x: tg.unflatten(x, axis, shape), (2, 6, 4))
    x = np.arange(48.0).reshape(2, 6, 4)
    np.testing.assert_array_equal(tg.unflatten(x, axis, shape), x.reshape(whole), strict=True)


@pytest.mark.parametrize(
    ("axis", "shape", "error", "message"),
    [
        (2, (2, 3), tg.IndexingError, r"unflatten: axis 2 is out of bounds for shape \(0, 6\)"),
        (1, (4, 2), tg.InputError, r"axis 1 of shape \(0, 6\) cannot become \(4, 2\)"),
        (1, (4, -1), tg.InputError, r"cannot become \(4, -1\)"),
        (1, (-1, -1), tg.InputError, "cannot become"),
    ],
)
def test_unflatten_refuses(axis: int, shape: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):  # with no elements, any shape would do for reshape
        tg.unflatten(Tensor(np.ones((0, 6)), requires_grad=True), axis, shape)


def test_resize_of_nothing_is_zeros() -> None:
    np.testing.assert_array_equal(np.resize(Tensor(np.ones(0)), (2, 2)).numpy(), np.zeros((2, 2)))
    assert np.resize(Tensor(np.ones(3)), (0, 2)).shape == (0, 2)


@pytest.mark.parametrize("order", ["C", "F"])
def test_layout_of_memory_does_not_matter(order: Any) -> None:
    backwards = np.arange(12.0).reshape(3, 4)[::-1, ::-2]
    check_affine(lambda x: np.reshape(x, (2, 3), order=order), np.asfortranarray(backwards))
    x = Tensor(backwards, requires_grad=True)
    g = np.arange(6.0)[::-1]
    np.ravel(x, order=order).backward(g)
    np.testing.assert_array_equal(x.grad, np.reshape(g, (3, 2), order=order))


def test_astype_casts_the_gradient_back() -> None:
    x = Tensor(np.array([1.1, 2.2], np.float32), requires_grad=True)
    y = x.astype(np.float64)
    assert y.dtype == np.float64
    np.sum(y * np.array([3.0, 4.0])).backward()
    np.testing.assert_array_equal(x.grad, np.array([3, 4], np.float32), strict=True)


def test_astype_has_a_second_derivative() -> None:
    check_affine(lambda x, y: x.astype(np.float64) * y, (3,), (3,))


@pytest.mark.parametrize("dtype", [int, bool, "uint8"])
def test_a_cast_to_integers_needs_no_gradient(dtype: Any) -> None:
    x = Tensor([1.7, -0.2], requires_grad=True)
    y = tg.astype(x, dtype=dtype)
    assert not y.requires_grad
    np.testing.assert_array_equal(y.numpy(), np.array([1.7, -0.2]).astype(dtype), strict=True)


@pytest.mark.skipif(not hasattr(np, "astype"), reason="NumPy 2.1")
def test_numpys_astype() -> None:
    x = Tensor([1.5, 2.5], requires_grad=True)
    np.sum(np.astype(x, np.float32)).backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


@pytest.mark.parametrize("like", [np.zeros_like, np.ones_like])
def test_arrays_like_a_tensor_need_no_gradient(like: Any) -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    made = like(x)
    assert not made.requires_grad
    np.testing.assert_array_equal(made.numpy(), like(x.detach().numpy()), strict=True)
    assert like(x, shape=(4,), dtype=np.float32).dtype == np.float32
    assert np.empty_like(x).shape == (2, 3)


def test_full_like_sends_the_gradient_to_what_fills() -> None:
    # autograd returns zero here, silently: it lists full_like among the functions without gradient.
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    a = Tensor(5.0, requires_grad=True)
    filled = np.full_like(x * 0.0, a)
    np.testing.assert_array_equal(filled.detach().numpy(), [5.0, 5.0, 5.0])
    np.sum(filled).backward()
    assert a.grad == 3.0


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (2, 3)])
def test_full_like_broadcasts(shape: Any) -> None:
    template = Tensor(np.zeros((2, 3)))
    check_affine(
        lambda a: np.full_like(template if isinstance(a, Tensor) else np.zeros((2, 3)), a), shape
    )


def test_full_like_of_a_number() -> None:
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    filled = np.full_like(x, 7)
    np.testing.assert_array_equal(filled.numpy(), np.full((2, 2), 7, np.float32), strict=True)
    np.testing.assert_array_equal(np.full_like(x, 7, dtype=int, shape=3).numpy(), [7, 7, 7])


def test_questions_get_plain_answers() -> None:
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    assert np.shape(x) == (2, 3)
    assert (type(np.shape(x)), type(np.ndim(x)), type(np.size(x))) == (tuple, int, int)
    assert (np.ndim(x), np.size(x), np.size(x, 1)) == (2, 6, 3)
    assert np.result_type(x, 1.0) == np.float32
    assert np.result_type(x, np.float64) == np.float64
    assert not np.iscomplexobj(x)
    assert np.isrealobj(x)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: np.reshape(x, (4, 2)), tg.InputError, r"reshape\(.*cannot reshape"),
        (lambda x: np.reshape(x, 6, order="A"), tg.UnsupportedError, "expected order 'C' or 'F'"),
        (lambda x: x.reshape(6, copy=False), tg.UnsupportedError, "copy=False"),
        (lambda x: np.ravel(x, order="K"), tg.UnsupportedError, "ravel: expected order 'C' or"),
        (lambda x: np.transpose(x, (0, 0)), tg.InputError, "transpose.*repeated axis"),
        (lambda x: np.broadcast_to(x, (2, 4)), tg.InputError, "broadcast_to"),
        (lambda x: np.rot90(x, axes=(0, -2)), tg.InputError, "two different axes"),
        (lambda x: np.resize(x, (2, -1)), tg.InputError, "resize: expected no negative lengths"),
        (lambda x: np.trim_zeros(x[0]), tg.UnsupportedError, "trim_zeros: has no gradient rule"),
        (lambda x: np.squeeze(x, 0), tg.InputError, "squeeze"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(f: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Tensor(np.ones((2, 3)), requires_grad=True))


def test_reshape_takes_both_names_of_its_argument() -> None:
    x = Tensor(np.arange(6.0), requires_grad=True)
    assert np.reshape(x, (2, 3)).shape == (2, 3)
    name = "shape" if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else "newshape"
    assert np.reshape(x, **{name: (3, 2)}).shape == (3, 2)


def test_dask_arrays_are_reshaped_and_joined() -> None:
    da = pytest.importorskip("dask.array")
    numbers = np.random.default_rng(0).normal(size=(4, 6))
    weights = np.random.default_rng(1).normal(size=(6, 8))

    def f(x: Any) -> Any:
        shaped = np.transpose(np.reshape(x, (2, 2, 6)), (1, 0, 2))
        joined = np.concatenate([x, np.flip(np.reshape(shaped, (4, 6)), 1)], axis=0)
        parts = np.split(np.moveaxis(joined, 0, 1), [2], axis=1)
        stacked = np.stack([np.concatenate(parts, axis=1), np.broadcast_to(x[0, 0], (6, 8))])
        return np.sum(np.squeeze(stacked[:, None], 1) ** 2 * np.roll(weights, 1))

    x = Tensor(numbers, requires_grad=True)
    f(x).backward()
    lazy = Tensor(da.from_array(numbers, chunks=(2, 3)), requires_grad=True)
    f(lazy).backward()
    assert isinstance(lazy.grad, da.Array)
    np.testing.assert_allclose(lazy.grad.compute(), x.grad, rtol=1e-14)


@pytest.mark.parametrize("f", [np.atleast_1d, np.atleast_2d, np.atleast_3d])
def test_atleast_makes_arrays_of_lists(f: Any) -> None:
    arrays = f([[1.0, 2.0]], 3.0)
    for x, expected in zip(f(Tensor([1.0]), [[1.0, 2.0]], 3.0)[1:], arrays, strict=True):
        assert type(x) is np.ndarray
        np.testing.assert_array_equal(x, expected, strict=True)

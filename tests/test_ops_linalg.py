"""Products: matmul of every rank, tensordot, einsum, linear; all are affine in each argument."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from affine import check_affine

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.op import REGISTRY

MATMUL = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((3,), (5, 3, 2)),
    ((5, 2, 3), (3,)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((4, 5, 2, 3), (3,)),
    ((4, 5, 2, 3), (3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 3), (3, 0)),
    ((0, 2, 3), (3,)),
    ((0, 2, 3), (3, 4)),
    ((2, 2, 0), (0,)),
    ((1, 1), (1, 1)),
]
SUBSCRIPTS: list[Any] = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ji,kj", (2, 3), (4, 2)),
    ("ba", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ij->ji", (2, 3)),
    ("i,j->ij", (2,), (3,)),
    ("i,i", (3,), (3,)),
    ("ij,kl->il", (2, 3), (4, 5)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->ij", (3, 3, 2)),
    ("iji->j", (3, 2, 3)),
    ("iii->i", (2, 2, 2)),
    ("iijj->ij", (2, 2, 3, 3)),
    ("ijij->ji", (2, 3, 2, 3)),
    ("jiji->", (2, 3, 2, 3)),
    ("ii,i->i", (3, 3), (3,)),
    ("ii,ij->j", (3, 3), (3, 2)),
    ("ii->", (0, 0)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("i,i,i->i", (3,), (3,), (3,)),
    ("i,ij,j", (2,), (2, 3), (3,)),
    ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)),
    ("...ij,...jk", (5, 1, 2, 3), (6, 3, 4)),
    ("...ij,jk->...ik", (5, 2, 3), (3, 4)),
    ("i...,i...->...", (2, 3, 4), (2, 4)),
    ("...->...", (2, 3)),
    ("i...->...i", (2, 3, 4)),
    ("...i->i", (3,)),
    ("...,...", (2, 3), (3,)),
    ("...ii->...i", (2, 3, 3)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,j->i", (2, 3), (1,)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("i,->i", (3,), ()),
    (",", (), ()),
    ("ij, jk -> ik", (2, 3), (3, 4)),
    ("iJ,Jk", (2, 3), (3, 4)),
    ("ij,jk->ik", (2, 0), (0, 4)),
]
CROSSED = ([2, 0, 1], [0, 2, 3])
TRANSPOSED = partial(tg.linear, transposed=True)
CASES: list[Any] = [
    ("dot vectors", np.dot, (3,), (3,)),
    ("dot matrices", np.dot, (2, 3), (3, 4)),
    ("dot matrix, vector", np.dot, (2, 3), (3,)),
    ("dot vector, matrix", np.dot, (3,), (3, 2)),
    ("dot stack, vector", np.dot, (4, 2, 3), (3,)),
    ("dot vector, stack", np.dot, (3,), (4, 3, 2)),
    ("dot stacks", np.dot, (4, 2, 3), (5, 3, 2)),
    ("dot stack, matrix", np.dot, (4, 2, 3), (3, 2)),
    ("dot matrix, stack", np.dot, (2, 3), (4, 3, 2)),
    ("dot number", np.dot, (), (2, 3)),
    ("dot numbers", np.dot, (), ()),
    ("dot Python number", lambda x: np.dot(x, 2.0), (2, 3)),
    ("dot method", lambda x, y: x.dot(y), (2, 3), (3, 2)),
    ("inner vectors", np.inner, (3,), (3,)),
    ("inner matrices", np.inner, (2, 3), (4, 3)),
    ("inner stacks", np.inner, (2, 2, 3), (4, 5, 3)),
    ("inner number", np.inner, (), (4, 5, 3)),
    ("vdot", np.vdot, (2, 3), (2, 3)),
    ("vdot numbers", np.vdot, (), ()),
    ("outer", np.outer, (2,), (3,)),
    ("outer of anything", np.outer, (2, 2), ()),
    ("linalg.outer", np.linalg.outer, (2,), (3,)),
    ("kron", np.kron, (2, 3), (3, 2)),
    ("kron of ranks", np.kron, (2,), (3, 2, 2)),
    ("linalg.matmul", np.linalg.matmul, (2, 3), (3, 4)),
    ("vecdot", np.vecdot, (2, 3), (2, 3)),
    ("vecdot stretched", np.vecdot, (4, 1, 3), (2, 3)),
    ("vecdot axis", lambda x, y: np.vecdot(x, y, axis=0), (3, 2), (3, 1)),
    ("linalg.vecdot", np.linalg.vecdot, (2, 3), (2, 3)),
    ("linalg.vecdot axis", lambda x, y: np.linalg.vecdot(x, y, axis=-2), (2, 3, 2), (2, 3, 2)),
    ("tensordot", np.tensordot, (2, 3, 4), (3, 4, 5)),
    ("tensordot 1", lambda x, y: np.tensordot(x, y, 1), (2, 3), (3, 4, 5)),
    ("tensordot 0", lambda x, y: np.tensordot(x, y, axes=0), (2, 3), (4,)),
    ("tensordot 0-d", lambda x, y: np.tensordot(x, y, axes=0), (2, 3), ()),
    ("tensordot number", lambda x: np.tensordot(x, 2.0, axes=0), (2, 3)),
    ("tensordot all", lambda x, y: np.tensordot(x, y, axes=2), (2, 3), (2, 3)),
    ("tensordot axes", lambda x, y: np.tensordot(x, y, ([0, 2], [1, 0])), (2, 3, 4), (4, 2, 5)),
    ("tensordot crossed", lambda x, y: np.tensordot(x, y, CROSSED), (2, 3, 4), (4, 5, 2, 3)),
    ("tensordot one axis", lambda x, y: np.tensordot(x, y, (-1, 0)), (2, 3), (3, 4)),
    ("linalg.tensordot", lambda x, y: np.linalg.tensordot(x, y, axes=1), (2, 3), (3, 4)),
    ("multi_dot 2", lambda *xs: np.linalg.multi_dot(xs), (2, 3), (3, 4)),
    ("multi_dot 3", lambda *xs: np.linalg.multi_dot(xs), (2, 3), (3, 4), (4, 5)),
    ("multi_dot 4", lambda *xs: np.linalg.multi_dot(xs), (5, 1), (1, 4), (4, 2), (2, 3)),
    ("multi_dot vectors", lambda *xs: np.linalg.multi_dot(xs), (3,), (3, 4), (4,)),
    ("multi_dot row", lambda *xs: np.linalg.multi_dot(xs), (3,), (3, 4), (4, 2)),
    ("multi_dot column", lambda *xs: np.linalg.multi_dot(xs), (3, 4), (4, 2), (2,)),
    ("block_diag", tg.block_diag, (2, 3), (1, 2), (2,), ()),
    ("bilinear", tg.bilinear, (4, 3), (4, 2), (5, 3, 2), (5,)),
    ("bilinear on vectors", tg.bilinear, (3,), (2,), (5, 3, 2)),
    ("bilinear on stacks", tg.bilinear, (2, 4, 3), (2, 4, 2), (1, 3, 2), (1,)),
    ("bilinear on nothing", tg.bilinear, (0, 3), (0, 2), (5, 3, 2)),
    ("linear", tg.linear, (4, 3), (3, 2), (2,)),
    ("linear without b", tg.linear, (4, 3), (3, 2)),
    ("linear on a vector", tg.linear, (3,), (3, 2), (2,)),
    ("linear on a vector without b", tg.linear, (3,), (3, 2)),
    ("linear on a stack", tg.linear, (5, 4, 3), (3, 2), (2,)),
    ("linear on nothing", tg.linear, (0, 3), (3, 2), (2,)),
    ("linear on a stack of nothing", tg.linear, (0, 2, 3), (3, 2), (2,)),
    ("linear without inputs", tg.linear, (2, 4, 0), (0, 2), (2,)),
    ("linear transposed", TRANSPOSED, (4, 3), (2, 3), (2,)),
    ("linear transposed without b", TRANSPOSED, (4, 3), (2, 3)),
    ("linear transposed on a vector", TRANSPOSED, (3,), (2, 3), (2,)),
    ("linear transposed on a stack", TRANSPOSED, (5, 4, 3), (2, 3), (2,)),
    ("linear transposed on nothing", TRANSPOSED, (0, 3), (2, 3), (2,)),
    ("linear constant x", lambda W, b: tg.linear(np.ones((4, 3)), W, b), (3, 2), (2,)),
]  # fmt: skip
if hasattr(np, "matvec"):
    CASES += [
        ("matvec", np.matvec, (4, 2, 3), (3,)),
        ("vecmat", np.vecmat, (5, 3), (5, 3, 2)),
    ]


@pytest.mark.parametrize(("x", "y"), MATMUL, ids=str)
def test_matmul_of_every_rank(x: Any, y: Any) -> None:
    check_affine(np.matmul, x, y)


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize(
    ("subscripts", "shapes"), [(case[0], case[1:]) for case in SUBSCRIPTS], ids=str
)
def test_einsum(subscripts: Any, shapes: Any, optimize: Any) -> None:
    check_affine(lambda *xs: np.einsum(subscripts, *xs, optimize=optimize), *shapes)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2]),
        lambda x, y: np.einsum(x, [5, 1], y, [1, 2]),
        lambda x, y: np.einsum(x, [..., 1], y, [1, ...], [...]),
        lambda x, y: np.einsum(x, [0, 30], y, [30, 27]),
    ],
)
def test_einsum_in_list_form(f: Any) -> None:
    check_affine(f, (2, 3), (3, 2))


def test_einsum_of_a_tensor_and_an_array() -> None:
    y = np.random.default_rng(0).normal(size=(3, 4))
    check_affine(lambda x: np.einsum("ij,jk->ik", x, y), (2, 3))
    check_affine(lambda x: np.einsum("ij,jk->ik", y, x), (4, 2))
    check_affine(lambda x: np.einsum("i,ij->j", [1.0, 2.0], x), (2, 3))


def test_large_einsum_is_the_same_sum() -> None:
    rng = np.random.default_rng(0)
    x, y = (Tensor(rng.normal(size=s), requires_grad=True) for s in [(120, 100), (100, 3)])
    g = rng.normal(size=(120, 3))
    np.einsum("ij,jk->ik", x, y).backward(g)
    np.testing.assert_allclose(x.grad, g @ y.data.T, rtol=1e-10)
    np.testing.assert_allclose(y.grad, x.data.T @ g, rtol=1e-10)


def test_einsum_with_a_path() -> None:
    xs = [np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 2))]
    path = np.einsum_path("ij,jk,kl->il", *xs)[0]
    check_affine(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=path), *xs)


@pytest.mark.parametrize(
    ("f", "shapes"), [(case[1], case[2:]) for case in CASES], ids=[case[0] for case in CASES]
)
def test_values_and_gradients_of_every_order(f: Any, shapes: Any) -> None:
    check_affine(f, *shapes)


def test_operator_with_an_array_on_either_side() -> None:
    A = np.random.default_rng(0).normal(size=(3, 3))
    check_affine(lambda x: A @ x @ A, (3, 3))


def test_a_matrix_times_itself() -> None:
    x = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)
    np.sum(x @ x).backward()
    # d/dx_ij of sum(x @ x) = column sum of row j + row sum... = (row sums)_j + (column sums)_i
    np.testing.assert_array_equal(x.grad, [[3.0 + 4.0, 7.0 + 4.0], [3.0 + 6.0, 7.0 + 6.0]])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_layout_and_dtype(order: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x0 = np.asarray(rng.normal(size=(4, 6)), dtype, order=order)[::-1, ::-2]
    W0 = np.asarray(rng.normal(size=(3, 5)), dtype, order=order)[::-1]
    g = rng.normal(size=(4, 5)).astype(dtype)[:, ::-1]
    for f in (lambda x, W: x @ W, tg.linear, lambda x, W: np.einsum("ij,jk", x, W), np.dot):
        x, W = Tensor(x0, requires_grad=True), Tensor(W0, requires_grad=True)
        y = f(x, W)
        y.backward(g)
        assert (y.dtype, x.grad.dtype, W.grad.dtype) == (dtype, dtype, dtype)
        rtol = 1e-5 if dtype == np.float32 else 1e-13
        np.testing.assert_allclose(x.grad, np.einsum("ik,jk->ij", g, W0), rtol)
        np.testing.assert_allclose(W.grad, np.einsum("ij,ik->jk", x0, g), rtol)


def test_mixed_dtypes_give_each_argument_its_own() -> None:
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    W = Tensor(np.ones((3, 2)), requires_grad=True)
    b = Tensor(np.ones(2, np.float32), requires_grad=True)
    y = tg.linear(x, W, b)
    np.sum(y).backward()
    assert (y.dtype, x.grad.dtype, W.grad.dtype) == (np.float64, np.float32, np.float64)
    assert b.grad.dtype == np.float32


@pytest.mark.parametrize("b_dtype", [np.float32, np.float64, int])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_adds_in_place_only_where_nobody_can_tell(dtype: Any, b_dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(4, 3)).astype(dtype), rng.normal(size=(3, 2)).astype(dtype)
    b = (10 * rng.normal(size=2)).astype(b_dtype)
    before = [array.copy() for array in (x, W, b)]
    np.testing.assert_array_equal(tg.linear(x, W, b), np.dot(x, W) + b, strict=True)
    for array, copy in zip((x, W, b), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_fast_and_general_path_of_linear_agree() -> None:
    class Other(np.ndarray):
        """Not exactly ndarray: takes the general path."""

    rng = np.random.default_rng(0)
    x, W, b, g = (rng.normal(size=s) for s in [(6, 5), (5, 4), (4,), (6, 4)])
    op = REGISTRY[tg.linear]
    other = [array.view(Other) for array in (x, W, b)]
    np.testing.assert_allclose(op.forward(*other), op.forward(x, W, b), rtol=1e-14)
    for rule in op.vjps:
        np.testing.assert_allclose(
            rule(g.view(Other), None, *other), rule(g, None, x, W, b), rtol=1e-14
        )


def test_second_derivative_of_a_quadratic_form() -> None:
    rng = np.random.default_rng(0)
    A, x = rng.normal(size=(4, 4)), rng.normal(size=4)
    np.testing.assert_allclose(tg.hessian(lambda x: x @ A @ x)(x), A + A.T, rtol=1e-13)
    H = tg.hessian(lambda x: np.einsum("i,ij,j", x, A, x))(x)
    np.testing.assert_allclose(H, A + A.T, rtol=1e-13)


REFUSED: list[Any] = [
    (lambda x: x @ np.ones((4, 2)), tg.InputError, r"matmul\(.*\(2, 3\).*\(4, 2\)"),
    (
        lambda x: tg.linear(x, np.ones((4, 2))),
        tg.InputError,
        r"x \(\.\.\., n_in\) .*x \(2, 3\) and W \(4, 2\)",
    ),
    (lambda x: tg.linear(x, np.ones(3)), tg.InputError, r"W \(n_in, n_out\).*W \(3,\)"),
    (
        lambda x: tg.linear(x, np.ones((2, 3))),
        tg.InputError,
        r"W \(n_in, n_out\), got .* W \(2, 3\), which fits with transposed=True$",
    ),
    (
        lambda x: TRANSPOSED(x, np.ones((3, 2))),
        tg.InputError,
        r"W \(n_out, n_in\), got .* W \(3, 2\), which fits with transposed=False$",
    ),
    (lambda x: TRANSPOSED(x, np.ones(3)), tg.InputError, r"W \(n_out, n_in\), got .* W \(3,\)$"),
    (lambda x: tg.linear(np.sum(x), np.ones((3, 2))), tg.InputError, r"got x \(\)"),
    (
        lambda x: tg.linear(x, np.ones((3, 2)), np.ones(3)),
        tg.InputError,
        r"b \(n_out,\) = \(2,\).*got \(3,\)",
    ),
    (lambda x: tg.linear(x, np.ones((3, 2)), 1.0), tg.InputError, r"b \(n_out,\)"),
    (lambda x: np.einsum("ij,jk", x, np.ones((4, 2))), tg.InputError, "einsum"),
    (lambda x: np.einsum("ij,jk", x), tg.InputError, "einsum"),
    (
        lambda x: np.einsum("ij", x, out=np.ones((2, 3))),
        tg.UnsupportedError,
        "einsum: option 'out'",
    ),
    (lambda x: np.einsum("ij", x, dtype=float), tg.UnsupportedError, "einsum: option 'dtype'"),
    (lambda x: np.dot(x, x, out=np.ones((2, 3))), tg.UnsupportedError, "dot: option 'out'"),
    (lambda x: np.outer(x, x, out=np.ones((6, 6))), tg.UnsupportedError, "outer: option 'out'"),
    (lambda x: np.tensordot(x, np.ones((4, 4)), 1), tg.InputError, "tensordot.*shape-mismatch"),
    (lambda x: np.vecdot(x, np.ones((2, 1))), tg.InputError, "vecdot: expected equal lengths"),
    (lambda x: np.linalg.outer(x, x), tg.InputError, "two vectors"),
]


@pytest.mark.parametrize(("f", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(f: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Tensor(np.ones((2, 3)), requires_grad=True))


def test_dask_arrays_are_multiplied() -> None:
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in [(8, 3), (3, 4), (4,), (4, 2)]]

    def f(x: Any, W: Any, b: Any, V: Any) -> Any:
        return np.sum(np.einsum("ij,jk->ik", np.tensordot(tg.linear(x, W, b), V, 1), V.T) @ V)

    plain = [Tensor(array, requires_grad=True) for array in arrays]
    f(*plain).backward()
    lazy = [Tensor(da.from_array(a, chunks=2), requires_grad=True) for a in arrays]
    f(*lazy).backward()
    for one, other in zip(plain, lazy, strict=True):
        assert isinstance(other.grad, da.Array)
        np.testing.assert_allclose(other.grad.compute(), one.grad, rtol=1e-12)


DASK: list[Any] = [
    (np.dot, (4, 2, 3), (2, 3, 2)),
    (np.inner, (4, 3), (2, 3)),
    (lambda x, y: np.tensordot(x, y, (-1, -2)), (4, 2, 3), (5, 3, 2)),
    (tg.bilinear, (4, 3), (4, 2), (5, 3, 2)),
    (tg.block_diag, (4, 3), (2, 2)),
    (lambda *xs: np.linalg.multi_dot(xs), (4, 3), (3, 2), (2, 5)),
]


@pytest.mark.parametrize(("f", "shapes"), [(case[0], case[1:]) for case in DASK])
@pytest.mark.filterwarnings("ignore:Increasing number of chunks")
def test_products_of_dask_arrays_are_those_of_numpy(f: Any, shapes: Any) -> None:
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in shapes]
    plain = [Tensor(array, requires_grad=True) for array in arrays]
    lazy = [Tensor(da.from_array(a, chunks=2), requires_grad=True) for a in arrays]
    expected, found = f(*plain), f(*lazy)
    np.testing.assert_allclose(found.data.compute(), expected.data, rtol=1e-12)
    g = rng.normal(size=expected.shape)
    expected.backward(g)
    found.backward(g)
    for one, other in zip(plain, lazy, strict=True):
        np.testing.assert_allclose(np.asarray(other.grad), one.grad, rtol=1e-12)


def test_inverse_has_the_textbook_gradient() -> None:
    a = np.array([[2.0, 1.0], [0.5, 3.0]])
    g = np.array([[1.0, -2.0], [0.5, 4.0]])
    t = tg.Tensor(a, requires_grad=True)
    np.linalg.inv(t).backward(g)
    inverse = np.linalg.inv(a)
    np.testing.assert_allclose(t.grad, -inverse.T @ g @ inverse.T, rtol=1e-14)

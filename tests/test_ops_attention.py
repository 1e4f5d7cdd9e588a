"""Attention: against a naive loop, masks, queries that see nothing, and what it refuses."""

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

attention = tg.scaled_dot_product_attention
SOME = np.array([[True, False, True], [False, True, True]])


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


def inputs(*batch: int) -> tuple[np.ndarray, ...]:
    return drawn(*batch, 2, 4), drawn(*batch, 3, 4, seed=1), drawn(*batch, 3, 5, seed=2)


def naive(q: Any, k: Any, v: Any, mask: Any, scale: float) -> np.ndarray:
    rows = []
    for i, query in enumerate(q):
        seen = [j for j in range(len(k)) if mask[i][j]]
        weights = np.exp([scale * query @ k[j] for j in seen])
        rows.append(sum(w * v[j] for w, j in zip(weights, seen, strict=True)) / weights.sum())
    return np.stack(rows)


@pytest.mark.parametrize("scale", [None, 0.3])
def test_it_is_that_of_naive_loops(scale: Any) -> None:
    q, k, v = inputs()
    factor = 0.5 if scale is None else scale
    everything = np.ones((2, 3), bool)
    np.testing.assert_allclose(
        attention(q, k, v, scale=scale), naive(q, k, v, everything, factor), rtol=1e-12
    )
    np.testing.assert_allclose(
        attention(q, k, v, SOME, scale=scale), naive(q, k, v, SOME, factor), rtol=1e-12
    )
    causal = [[True, False, False], [True, True, False]]
    np.testing.assert_allclose(
        attention(q, k, v, is_causal=True, scale=scale), naive(q, k, v, causal, factor), rtol=1e-12
    )


def test_a_mask_of_numbers_is_added_to_the_scores() -> None:
    q, k, v = inputs()
    mask = np.where(SOME, 0.0, -math.inf)
    np.testing.assert_allclose(attention(q, k, v, mask), attention(q, k, v, SOME), rtol=1e-14)
    # log of integer weights: as if a key were there so many times
    twice = attention(q, k, v, np.log(np.array([2.0, 1.0, 1.0])))
    np.testing.assert_allclose(twice, attention(q, k[[0, 0, 1, 2]], v[[0, 0, 1, 2]]), rtol=1e-12)


def test_a_learned_mask_gets_its_gradient() -> None:
    q, k, v = inputs()
    tg.check_gradients(attention, q, k, v, drawn(2, 3, seed=3), order=2)


def test_batches_and_heads_broadcast() -> None:
    q, k, v = inputs(2, 3)
    y = attention(q, k, v, SOME)
    assert y.shape == (2, 3, 2, 5)
    np.testing.assert_allclose(y[1, 2], attention(q[1, 2], k[1, 2], v[1, 2], SOME), rtol=1e-13)
    np.testing.assert_allclose(attention(q, k[:1, :1], v[0, 0])[1, 2], attention(
        q[1, 2], k[0, 0], v[0, 0]), rtol=1e-13)  # fmt: skip


@pytest.mark.parametrize("mask", [SOME & [[True], [False]], np.array([[0.0] * 3, [-math.inf] * 3])])
def test_a_query_that_sees_nothing_gets_zeros_and_gives_no_gradient(mask: Any) -> None:
    q, k, v = (Tensor(x, requires_grad=True) for x in inputs())
    y = attention(q, k, v, mask)
    assert y.numpy()[1].tolist() == [0] * 5
    y.backward(np.ones((2, 5)))
    assert q.grad[1].tolist() == [0] * 4
    alone = [Tensor(x, requires_grad=True) for x in inputs()]
    attention(alone[0][:1], *alone[1:], mask[:1]).backward(np.ones((1, 5)))
    np.testing.assert_allclose(k.grad, alone[1].grad, rtol=1e-13)
    np.testing.assert_allclose(v.grad, alone[2].grad, rtol=1e-13)
    assert q.grad[0].any()


def test_keys_that_are_masked_do_not_matter_even_if_they_are_not_numbers() -> None:
    q, k, v = inputs()
    k[1] = math.nan
    y = attention(q[:1], k, v, SOME[:1])
    np.testing.assert_allclose(y, naive(q[:1], k, v, SOME[:1], 0.5), rtol=1e-12)


def test_dropout_drops_weights() -> None:
    q, k = np.zeros((400, 1)), np.zeros((3, 1))
    v = np.eye(3)
    y = attention(q, k, v, dropout_p=0.5, rng=np.random.default_rng(0))
    assert set(np.round(y.reshape(-1) * 3, 9)) == {0.0, 2.0}
    with pytest.raises(tg.DtypeError, match=r"dropout: expected rng to be a numpy\.random\.Gen"):
        attention(q, k, v, dropout_p=0.5)


def test_large_scores_do_not_overflow_and_float32_stays() -> None:
    q, k, v = (1e4 * x.astype("f") for x in inputs())
    t = Tensor(q, requires_grad=True)
    y = attention(t, k, v, is_causal=True)
    y.backward(np.ones((2, 5)))
    assert y.dtype == t.grad.dtype == np.float32
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(t.grad).all()


def test_a_traced_program_gives_the_same() -> None:
    q, k, v = inputs()

    def loss(q: Any, k: Any, v: Any) -> Any:
        return np.sum(attention(q, k, v, SOME) ** 2)

    value, gradients = tg.trace(loss, q, k, v)(q, k, v)
    np.testing.assert_allclose(value, loss(q, k, v), rtol=1e-13)
    for found, wanted in zip(gradients, tg.grad(loss, argnums=(0, 1, 2))(q, k, v), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-13)


Q, K, V = inputs()


@pytest.mark.parametrize("wrap", [np.array, lambda x: Tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((Q[:, :3], K, V), {}, r"query \(..., L, E\), key .* got \(2, 3\), \(3, 4\) and \(3, 5\)"),
        ((Q, K[:2], V), {}, r"got \(2, 4\), \(2, 4\) and \(3, 5\)"),
        ((Q[0], K, V), {}, r"got \(4,\), \(3, 4\)"),
        ((Q, K, V, SOME.T), {}, r"attn_mask to broadcast to \(2, 3\), got \(3, 2\)"),
        ((Q, K, V, np.ones((4, 2, 3))), {}, r"attn_mask to broadcast to \(2, 3\), got \(4, 2, 3"),
        ((Q, K, V, SOME), {"is_causal": True}, "attn_mask or is_causal, got both"),
    ],
)
def test_refused(wrap: Any, args: Any, options: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        attention(*map(wrap, args[:3]), *args[3:], **options)

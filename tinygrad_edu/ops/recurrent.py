"""Recurrence: all steps of a sequence as one op; for the tanh (or relu) RNN, the GRU and the LSTM.

Step t adds what comes from its input, z[t], to what comes from the state before, h[t-1] @ W.T. The
first is known for all steps at once, and so it is made before, as one product (`tg.linear`).

The rules are back-propagation through time. Let s[t] be the cotangent of what step t applies its
activation functions to. It is found from the last step to the first, since h[t] goes into the
result and into step t + 1:

    cotangent of h[t] = g[t] + s[t+1] @ W,    s[t] = that times the slopes of the step.

All else is for all steps at once again: the cotangent of z is s, and that of W is the sum over time
of s[t].T @ h[t-1], which is one product of matrices.

Source: P. Werbos, "Backpropagation Through Time: What It Does and How to Do It" (1990).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinygrad_edu.op import Array, op, wrt
from tinygrad_edu.ops.activations import sigmoid
from tinygrad_edu.ops.windows import check_arrays


def _shared(find: Callable[..., Any]) -> Callable[..., Any]:
    """Let the rules of a node, which all ask the same, share the answer: one pass through time.

    Each of them gets it once; it is forgotten when one of the arrays of the question is, which is
    when the backward pass leaves the node. Answers on Tensors are found anew each time: to keep
    them would be to keep their graph.
    """
    last = threading.local()

    def forget(_: Any) -> None:
        last.__dict__.clear()

    def answer(rule: Any, *question: Any) -> Any:
        if any(type(x) is not np.ndarray for x in question):
            return find(*question)
        known, found, given = getattr(last, "known", ((), None, set()))
        same = known and all(ref() is x for ref, x in zip(known, question, strict=True))
        if not same or rule in given:
            found, given = find(*question), set()
            # At once: to forget an older one may happen between any two lines.
            last.known = [weakref.ref(x, forget) for x in question], found, given
        given.add(rule)
        return found

    return answer


def _before(h: Array, start: Array) -> Array:
    """The state before each step, (T, N, H), from those after it."""
    return np.concatenate([start[None], h[:-1]])


def _rows(x: Array) -> Array:
    return x.reshape((-1, x.shape[-1]))


def _over_time(s: Array, h: Array) -> Array:
    """Σ_t s[t].T @ h[t]."""
    return _rows(s).T @ _rows(h)


def _parts(x: Array, size: int) -> list[Array]:
    """The gates, which lie side by side along the last axis."""
    return [x[..., k : k + size] for k in range(0, x.shape[-1], size)]


def _sigmoid(x: Array) -> None:
    """In place; exp(-x) may be inf: then 1 / (1 + inf) is right."""
    np.negative(x, out=x)
    np.exp(x, out=x)
    x += 1
    np.reciprocal(x, out=x)


# -- RNN -----------------------------------------------------------------------------------------


def _rnn_back(
    slope: Callable[[Array], Array], g: Array, h: Array, W: Array, start: Array
) -> tuple[Array, Array]:
    """Give s, and the cotangent of the first state."""
    slopes = slope(h)
    back = np.zeros_like(start)
    s: list[Array] = []
    for t in reversed(range(len(h))):
        s.append((g[t] + back) * slopes[t])
        back = s[-1] @ W
    return np.stack(s[::-1]), back


_RNN_BACK = {  # a slope in terms of the result, as in the rules of tanh and relu
    "tanh": _shared(partial(_rnn_back, lambda h: 1 - h * h)),
    "relu": _shared(partial(_rnn_back, lambda h: h > 0)),
}


def _rnn_rule(find: Callable[..., Array]) -> Callable[..., Array]:
    def rule(g: Array, out: Array, z: Array, W: Array, start: Array, *, nonlinearity: str) -> Array:
        return find(_RNN_BACK[nonlinearity](find, g, out, W, start), out, start)

    return rule


@op(
    wrt("z", _rnn_rule(lambda back, h, start: back[0])),
    wrt("W", _rnn_rule(lambda back, h, start: _over_time(back[0], _before(h, start)))),
    wrt("start", _rnn_rule(lambda back, h, start: back[1])),
)
def rnn_steps(z: Array, W: Array, start: Array, *, nonlinearity: str) -> Array:
    """`h[t] = tanh(z[t] + h[t-1] @ W.T)`, or with relu.

    Args:
        z: (T, N, H), float: what the inputs contribute.
        W: (H, H).
        start: (N, H), the state before the first step.
        nonlinearity: "tanh" or "relu".

    Returns:
        (T, N, H): h.
    """
    check_arrays("rnn_steps", z, W, start)
    W_T = np.ascontiguousarray(W.T)  # products with it take two thirds of the time
    h = np.empty(z.shape, np.result_type(z, W, start))
    state = start
    for t in range(len(z)):
        state = np.matmul(state, W_T, out=h[t])
        state += z[t]
        if nonlinearity == "relu":
            np.maximum(state, 0, out=state)
        else:
            np.tanh(state, out=state)
    return h


# -- GRU -----------------------------------------------------------------------------------------


@_shared
def _gru_back(
    g_h: Array, g_gates: Array, h: Array, gates: Array, W: Array, start: Array
) -> tuple[Array, Array, Array]:
    """The share of the inputs in s, that of the state, and the cotangent of the first state."""
    r, z, n, m = _parts(gates, W.shape[1])
    after_n = (1 - z) * (1 - n * n)
    towards_z = (_before(h, start) - n) * z * (1 - z)
    g_r, g_z, g_n, g_m = _parts(g_gates, W.shape[1])
    g_z, g_n, slope_r = g_z * z * (1 - z), g_n * (1 - n * n), r * (1 - r)
    back = np.zeros_like(start)
    of_input: list[Array] = []
    of_state: list[Array] = []
    for t in reversed(range(len(h))):
        a = g_h[t] + back
        s_n = a * after_n[t] + g_n[t]
        s_r, s_z = (s_n * m[t] + g_r[t]) * slope_r[t], a * towards_z[t] + g_z[t]
        of_input.append(np.concatenate([s_r, s_z, s_n], axis=-1))
        of_state.append(np.concatenate([s_r, s_z, s_n * r[t] + g_m[t]], axis=-1))
        back = a * z[t] + of_state[-1] @ W
    return np.stack(of_input[::-1]), np.stack(of_state[::-1]), back


def _gru_rule(find: Callable[..., Array]) -> Callable[..., Array]:
    def rule(g: Any, out: Any, z: Array, W: Array, b: Array, start: Array) -> Array:
        h, gates = out
        return find(_gru_back(find, *g, h, gates, W, start), h, start)

    return rule


@op(
    wrt("z", _gru_rule(lambda back, h, start: back[0])),
    wrt("W", _gru_rule(lambda back, h, start: _over_time(back[1], _before(h, start)))),
    wrt("b", _gru_rule(lambda back, h, start: np.sum(back[1], axis=(0, 1)))),
    wrt("start", _gru_rule(lambda back, h, start: back[2])),
)
@np.errstate(over="ignore")
def gru_steps(z: Array, W: Array, b: Array, start: Array) -> tuple[Array, Array]:
    """`h[t] = (1 - z) n + z h[t-1]` with the gates r, z and the new n, as in `nn.GRU`.

    Args:
        z: (T, N, 3 H), float: what the inputs contribute to r, z, n.
        W: (3 H, H).
        b: (3 H,), added to `h[t-1] @ W.T`, or None.
        start: (N, H), the state before the first step.

    Returns:
        (T, N, H): h; (T, N, 4 H): r, z, n, and what r is multiplied with.

    Source: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
        Statistical Machine Translation" (2014), with the reset gate after the product.
    """
    check_arrays("gru_steps", z, W, start)
    size, W_T = W.shape[1], np.ascontiguousarray(W.T)
    dtype = np.result_type(z, W, start)
    h, gates = np.empty((*z.shape[:2], size), dtype), np.empty((*z.shape[:2], 4 * size), dtype)
    state = start
    for t in range(len(z)):
        u = state @ W_T
        if b is not None:
            u += b
        r, keep, n, m = _parts(gates[t], size)
        both = np.add(z[t, :, : 2 * size], u[:, : 2 * size], out=gates[t, :, : 2 * size])
        _sigmoid(both)
        m[...] = u[:, 2 * size :]
        np.tanh(z[t, :, 2 * size :] + r * m, out=n)
        state = np.subtract(state, n, out=h[t])
        state *= keep
        state += n
    return h, gates


# -- LSTM ----------------------------------------------------------------------------------------


_GATES: dict[int, Array] = {}  # of the results h that live, by id: what the way back needs


def _keep(h: Array, gates: Array) -> None:
    """Keep the gates as long as h lives, without a result of their own.

    That would have a cotangent: four times as many zeros as h has numbers, in every backward pass.
    """
    _GATES[id(h)] = gates
    weakref.finalize(h, _GATES.pop, id(h)).atexit = False


def _lstm_back_general(
    g_h: Array, g_c: Array, h: Array, c: Array, z: Array, W: Array, start_h: Array, start_c: Array
) -> tuple[Array, Array, Array]:
    """Give s, and the cotangents of the first h and of the first c."""
    total = z + _before(h, start_h) @ W.T
    a_i, a_f, a_g, a_o = _parts(total, W.shape[1])
    i, f, g, o, tanh = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o), np.tanh(c)
    slopes = [i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o)]
    others = [g, _before(c, start_c), i, tanh]
    factor = np.concatenate(slopes, axis=-1) * np.concatenate(others, axis=-1)
    into_c = o * (1 - tanh * tanh)
    back_h, back_c = np.zeros_like(start_h), np.zeros_like(start_c)
    s: list[Array] = []
    for t in reversed(range(len(c))):
        a = g_h[t] + back_h
        b = g_c[t] + back_c + a * into_c[t]
        s.append(np.concatenate([b, b, b, a], axis=-1) * factor[t])
        back_h, back_c = s[-1] @ W, b * f[t]
    return np.stack(s[::-1]), back_h, back_c


def _lstm_back_fast(
    g_h: Array, g_c: Array, h: Array, c: Array, gates: Array, W: Array, start: Array
) -> tuple[Array, Array, Array]:
    """The same with the gates kept, in place: what a step needs stays in the processor's cache."""
    s = np.empty((*c.shape[:2], 4 * c.shape[2]), gates.dtype)
    W = np.ascontiguousarray(W)
    back_h = back_c = np.zeros_like(start)
    for t in reversed(range(len(c))):
        i, f, g, o = gates[t]
        a = g_h[t] + back_h
        b = h[t] * np.tanh(c[t])
        np.subtract(o, b, out=b)  # = o (1 - tanh²), since h = o tanh
        b *= a
        b += g_c[t]
        b += back_c
        back_c = b * f
        s_f, s_o = back_c * (c[t - 1] if t else start), a * h[t]
        b *= i
        s_i = b * g
        s_g = b - s_i * g
        s_i -= s_i * i
        s_f -= s_f * f
        s_o -= s_o * o
        np.concatenate([s_i, s_f, s_g, s_o], axis=-1, out=s[t])
        back_h = s[t] @ W
    return s, back_h, back_c


@_shared
def _lstm_back(
    g_h: Array, g_c: Array, h: Array, c: Array, z: Array, W: Array, start_h: Array, start_c: Array
) -> tuple[Array, Array, Array]:
    gates = _GATES.get(id(h))
    if gates is None:
        return _lstm_back_general(g_h, g_c, h, c, z, W, start_h, start_c)
    return _lstm_back_fast(g_h, g_c, h, c, gates, W, start_c)


def _lstm_rule(find: Callable[..., Array]) -> Callable[..., Array]:
    def rule(g: Any, out: Any, z: Array, W: Array, start_h: Array, start_c: Array) -> Array:
        return find(_lstm_back(find, *g, *out, z, W, start_h, start_c), out[0], start_h)

    return rule


@op(
    wrt("z", _lstm_rule(lambda back, h, start: back[0])),
    wrt("W", _lstm_rule(lambda back, h, start: _over_time(back[0], _before(h, start)))),
    wrt("start_h", _lstm_rule(lambda back, h, start: back[1])),
    wrt("start_c", _lstm_rule(lambda back, h, start: back[2])),
)
@np.errstate(over="ignore")
def lstm_steps(z: Array, W: Array, start_h: Array, start_c: Array) -> tuple[Array, Array]:
    """`c[t] = f c[t-1] + i g`, `h[t] = o tanh(c[t])` with the gates i, f, g, o, as in `nn.LSTM`.

    Args:
        z: (T, N, 4 H), float: what the inputs contribute to i, f, g, o.
        W: (4 H, H).
        start_h: (N, H), the h before the first step.
        start_c: (N, H), the c before the first step.

    Returns:
        (T, N, H): h; (T, N, H): c.

    Source: S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory" (1997); F. Gers et al.,
        "Learning to Forget" (2000), for the forget gate.
    """
    check_arrays("lstm_steps", z, W, start_h, start_c)
    (steps, batch, _), size = z.shape, W.shape[1]
    dtype, W_T = np.result_type(z, W, start_h, start_c), np.ascontiguousarray(W.T)
    h, c = (np.empty((steps, batch, size), dtype) for _ in range(2))
    gates = np.empty((steps, 4, batch, size), dtype)  # each in one piece, which is faster
    z = z.reshape((steps, batch, 4, size)).swapaxes(1, 2)
    state, cell = start_h, start_c
    for t in range(steps):
        from_state = (state @ W_T).reshape((batch, 4, size)).swapaxes(0, 1)
        i, f, g, o = np.add(from_state, z[t], out=gates[t])
        _sigmoid(gates[t, :2])
        _sigmoid(o)
        np.tanh(g, out=g)
        cell = np.multiply(f, cell, out=c[t])
        cell += i * g
        state = np.tanh(cell, out=h[t])
        state *= o
    _keep(h, gates)
    return h, c

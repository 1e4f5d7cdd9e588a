"""Recurrent cells derived by hand, and back-propagation through time, in plain NumPy.

Each function computes a step (or a sequence of steps) and, from the cotangent g = ∂E/∂h' of what
comes out, the gradients of all that went in. Run this file, and they are compared with the engine:

    python examples/derivations_recurrent.py

Notation: x is the input, (N, n_in); h is the state before, (N, H), and h' the one after. Weights
and their order are those of the layers: W is `weight_ih`, (gates · H, n_in), U is `weight_hh`,
(gates · H, H). δ_a = ∂E/∂a is the error signal of a pre-activation a, (N, H). ⊙ is elementwise.

For all cells alike: a = x Wᵀ + h Uᵀ + b is linear, so with the δ of all gates side by side

    ∂E/∂W = δᵀ x,    ∂E/∂U = δᵀ h,    ∂E/∂b = Σ_N δ,    ∂E/∂x = δ W,    ∂E/∂h has the share δ U.

What distinguishes the cells is δ.
"""

from typing import Any

import numpy as np

Array = Any


def sigmoid(z: Array) -> Array:
    """σ(z) = (1 + tanh(z/2)) / 2, with σ' = σ (1 - σ)."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def rnn_cell(
    g: Array, x: Array, h: Array, W: Array, U: Array, b: Array
) -> tuple[Array, tuple[Array, ...]]:
    """The tanh cell: h' = tanh(a), a = x Wᵀ + h Uᵀ + b.

        δ = g ⊙ (1 - h'²)          since tanh' = 1 - tanh²

    Returns:
        h', and the gradients of x, h, W, U, b.
    """
    new = np.tanh(x @ W.T + h @ U.T + b)
    delta = g * (1 - new**2)
    return new, (delta @ W, delta @ U, delta.T @ x, delta.T @ h, delta.sum(axis=0))


def gru_cell(
    g: Array, x: Array, h: Array, W: Array, U: Array, b: Array, d: Array
) -> tuple[Array, tuple[Array, ...]]:
    """The gated recurrent unit, in PyTorch's convention.

    With a = x Wᵀ + b from the input and u = h Uᵀ + d from the state, each in three parts:

        r = σ(a_r + u_r),  z = σ(a_z + u_z),  n = tanh(a_n + r ⊙ u_n),  h' = (1 - z) ⊙ n + z ⊙ h

    The result depends on n, z and h; n depends on r and u_n:

        δ_n = g ⊙ (1 - z) ⊙ (1 - n²)
        δ_z = g ⊙ (h - n) ⊙ z (1 - z)
        δ_r = δ_n ⊙ u_n ⊙ r (1 - r)

    These are the error signals of a. Those of u are the same, but for u_n, which has r before it:
    δ_n ⊙ r. And h reaches the result also directly: ∂E/∂h = g ⊙ z + δ_u U.

    Returns:
        h', and the gradients of x, h, W, U, b, d.
    """
    a_r, a_z, a_n = np.split(x @ W.T + b, 3, axis=1)
    u_r, u_z, u_n = np.split(h @ U.T + d, 3, axis=1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n = np.tanh(a_n + r * u_n)
    delta_n = g * (1 - z) * (1 - n**2)
    delta_z = g * (h - n) * z * (1 - z)
    delta_r = delta_n * u_n * r * (1 - r)
    of_a = np.hstack([delta_r, delta_z, delta_n])
    of_u = np.hstack([delta_r, delta_z, delta_n * r])
    gradients = (
        of_a @ W, g * z + of_u @ U, of_a.T @ x, of_u.T @ h, of_a.sum(axis=0), of_u.sum(axis=0),
    )  # fmt: skip
    return (1 - z) * n + z * h, gradients


def lstm_cell(
    g: Array, g_c: Array, x: Array, h: Array, c: Array, W: Array, U: Array, b: Array
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    """The long short-term memory.

    With a = x Wᵀ + h Uᵀ + b in four parts:

        i = σ(a_i),  f = σ(a_f),  n = tanh(a_g),  o = σ(a_o)
        c' = f ⊙ c + i ⊙ n,    h' = o ⊙ tanh(c')

    Two cotangents arrive, g of h' and g_c of c'. What reaches c' in all is

        γ = g_c + g ⊙ o ⊙ (1 - tanh²(c'))

    and from there, and from h' to the output gate,

        δ_i = γ ⊙ n ⊙ i (1 - i)        δ_f = γ ⊙ c ⊙ f (1 - f)
        δ_g = γ ⊙ i ⊙ (1 - n²)         δ_o = g ⊙ tanh(c') ⊙ o (1 - o)

        ∂E/∂c = γ ⊙ f                  no weights, no slope: this is why it remembers

    Returns:
        (h', c'), and the gradients of x, h, c, W, U, b.
    """
    a_i, a_f, a_g, a_o = np.split(x @ W.T + h @ U.T + b, 4, axis=1)
    i, f, n, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    cell = f * c + i * n
    tanh = np.tanh(cell)
    gamma = g_c + g * o * (1 - tanh**2)
    delta_i, delta_f = gamma * n * i * (1 - i), gamma * c * f * (1 - f)
    delta_g, delta_o = gamma * i * (1 - n**2), g * tanh * o * (1 - o)
    delta = np.hstack([delta_i, delta_f, delta_g, delta_o])
    gradients = (delta @ W, delta @ U, gamma * f, delta.T @ x, delta.T @ h, delta.sum(axis=0))
    return (o * tanh, cell), gradients


def rnn_through_time(
    g: Array, x: Array, h: Array, W: Array, U: Array, b: Array
) -> tuple[Array, tuple[Array, ...]]:
    """The tanh RNN over T steps: h_t = tanh(x_t Wᵀ + h_{t-1} Uᵀ + b), the same W, U, b in each.

    The state of step t goes into the result (g_t) and into step t + 1, so from the end:

        δ_t = (g_t + δ_{t+1} U) ⊙ (1 - h_t²),    δ_{T+1} = 0

    A weight that is used in every step has a share from every step, and shares add up:

        ∂E/∂U = Σ_t δ_tᵀ h_{t-1},    ∂E/∂W = Σ_t δ_tᵀ x_t,    ∂E/∂b = Σ_t Σ_N δ_t
        ∂E/∂x_t = δ_t W,    ∂E/∂h_0 = δ_1 U

    How far back does it reach? From step t to step s the error is multiplied t - s times by U and
    by slopes below 1: it vanishes, or, if U is large, explodes.

    Args:
        g: (T, N, H), the cotangents of all states.
        x: (T, N, n_in).
        h: (N, H), the state before the first step.
        W: (H, n_in).
        U: (H, H).
        b: (H,).

    Returns:
        (T, N, H), all states, and the gradients of x, h, W, U, b.
    """
    states = [h]
    for x_t in x:
        states.append(np.tanh(x_t @ W.T + states[-1] @ U.T + b))
    g_x, g_W, g_U, g_b = (np.zeros_like(part) for part in (x, W, U, b))
    back = np.zeros_like(h)
    for t in reversed(range(len(x))):
        delta = (g[t] + back) * (1 - states[t + 1] ** 2)
        g_W += delta.T @ x[t]
        g_U += delta.T @ states[t]
        g_b += delta.sum(axis=0)
        g_x[t] = delta @ W
        back = delta @ U
    return np.stack(states[1:]), (g_x, back, g_W, g_U, g_b)


def main() -> None:
    """Compare every derivation with the engine, on inputs that Hypothesis chooses."""
    import tinygrad_edu as tg

    rng = np.random.default_rng(0)
    g, g_c = rng.normal(size=(2, 2, 3))
    x, h, c = rng.normal(size=(2, 2)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    W, U, b = rng.normal(size=(12, 2)), rng.normal(size=(12, 3)), rng.normal(size=12)
    xs, gs = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 2, 3))

    def rnn(x: Any, h: Any, W: Any, U: Any, b: Any) -> Any:
        return np.sum(g * np.tanh(x @ W.T + h @ U.T + b))

    def gru(x: Any, h: Any, W: Any, U: Any, b: Any, d: Any) -> Any:
        a, u = x @ W.T + b, h @ U.T + d
        r, z = tg.sigmoid(a[:, :3] + u[:, :3]), tg.sigmoid(a[:, 3:6] + u[:, 3:6])
        return np.sum(g * ((1 - z) * np.tanh(a[:, 6:] + r * u[:, 6:]) + z * h))

    def lstm(x: Any, h: Any, c: Any, W: Any, U: Any, b: Any) -> Any:
        i, f, n, o = np.split(x @ W.T + h @ U.T + b, 4, axis=1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * np.tanh(n)
        return np.sum(g * tg.sigmoid(o) * np.tanh(c)) + np.sum(g_c * c)

    def through_time(x: Any, h: Any, W: Any, U: Any, b: Any) -> Any:
        total = 0.0
        for x_t, g_t in zip(x, gs, strict=True):
            h = np.tanh(x_t @ W.T + h @ U.T + b)
            total = total + np.sum(g_t * h)
        return total

    for function, formula, inputs in (
        (rnn, lambda *p: rnn_cell(g, *p)[1], (x, h, W[:3], U[:3], b[:3])),
        (gru, lambda *p: gru_cell(g, *p)[1], (x, h, W[:9], U[:9], b[:9], b[3:])),
        (lstm, lambda *p: lstm_cell(g, g_c, *p)[1], (x, h, c, W, U, b)),
        (through_time, lambda *p: rnn_through_time(gs, *p)[1], (xs, h, W[:3], U[:3], b[:3])),
    ):
        report = tg.check_derivation(function, formula, *inputs)
        print(f"{function.__name__:12}  engine = derivation in {report.cases} cases")


if __name__ == "__main__":
    main()

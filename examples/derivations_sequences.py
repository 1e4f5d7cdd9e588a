"""Word vectors, convolution, and LLaMA's MLP derived by hand, in plain NumPy.

Each function computes a value and, with nothing but the formulas that its docstring derives, its
gradients. Run this file, and they are compared with the engine:

    python examples/derivations_sequences.py

Notation: g = ∂E/∂y is the cotangent of a result y that is no loss itself; ⊙ is elementwise.
"""

from typing import Any

import numpy as np

Array = Any


def sigmoid(z: Array) -> Array:
    """σ(z) = (1 + tanh(z/2)) / 2, with σ' = σ (1 - σ) and (log σ)' = 1 - σ."""
    return 0.5 * (1 + np.tanh(0.5 * z))


# --- word2vec: how well a vector h fits a word ----------------------------------------------------


def word_vector(g: Array, W: Array, given: Array) -> tuple[Array, Array]:
    """The vector that predicts: h_n = 1/C Σ_c W[given_nc]; C = 1 (skip-gram) or more (CBOW).

        ∂E/∂W_i = 1/C Σ g_n over all places (n, c) at which given_nc = i

    The rows of words that are not in the batch have gradient 0: nobody needs to write it down.

    Args:
        g: (N, d), the cotangent of h.
        W: (V, d).
        given: (N, C) int.

    Returns:
        h, and the gradient of W.
    """
    by_W = np.zeros_like(W)
    for word_row, cotangent in zip(given, g, strict=True):
        for word in word_row:
            by_W[word] += cotangent / given.shape[1]
    return W[given].mean(axis=1), by_W


def full_softmax(h: Array, U: Array, wanted: Array) -> tuple[Array, tuple[Array, Array]]:
    """L = -1/N Σ_n log p_n[wanted_n], p = softmax(z), z = h Uᵀ.

        ∂L/∂z = (p - onehot) / N =: δ,    ∂L/∂h = δ U,    ∂L/∂U = δᵀ h

    Every word of the vocabulary gets a share: it costs V rows.

    Args:
        h: (N, d).
        U: (V, d).
        wanted: (N,) int.

    Returns:
        L, and the gradients of h and U.
    """
    rows, z = np.arange(len(h)), h @ U.T
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    delta = np.exp(log_p)
    delta[rows, wanted] -= 1
    delta /= len(h)
    return -log_p[rows, wanted].mean(), (delta @ U, delta.T @ h)


def binary_decisions(
    h: Array, U: Array, nodes: Array, signs: Array
) -> tuple[Array, tuple[Array, Array]]:
    """L = -1/N Σ_n Σ_k log σ(s_nk z_nk), z_nk = u_(nodes_nk) · h_n, over places with s ≠ 0.

    Negative sampling is this with the wanted word (s = 1) and K drawn ones (s = -1). So is the
    hierarchical softmax, with the inner nodes on the way to the wanted word, and s = ±1 for left or
    right: p(word) = Π_k σ(s_k z_k), and σ(z) + σ(-z) = 1, so the p of all words sum to 1.

        ∂L/∂z_nk = -s (1 - σ(s z)) / N =: δ_nk

        ∂L/∂h_n = Σ_k δ_nk u_(nodes_nk)
        ∂L/∂u_i = Σ δ_nk h_n over all places (n, k) at which nodes_nk = i

    Only rows that were used get a share.

    Args:
        h: (N, d).
        U: (V, d).
        nodes: (N, K) int.
        signs: (N, K), 1, -1, or 0 where there is no decision.

    Returns:
        L, and the gradients of h and U.
    """
    z = np.einsum("nkd,nd->nk", U[nodes], h)
    delta = -signs * sigmoid(-signs * z) / len(h)  # 1 - σ(t) = σ(-t)
    by_U = np.zeros_like(U)
    for n, k in np.ndindex(*nodes.shape):
        by_U[nodes[n, k]] += delta[n, k] * h[n]
    value = np.sum(np.abs(signs) * np.logaddexp(0, -signs * z)) / len(h)
    return value, (np.einsum("nk,nkd->nd", delta, U[nodes]), by_U)


# --- convolution ----------------------------------------------------------------------------------


def convolution(
    g: Array, x: Array, w: Array, b: Array, stride: int = 1, padding: int = 0, dilation: int = 1
) -> tuple[Array, tuple[Array, Array, Array]]:
    """y[n,o,p,q] = b[o] + Σ_cij x[n, c, p s + i d, q s + j d] w[o,c,i,j], x padded with zeros.

    Each product x w goes to one y, so its share of the cotangent is that y's. Collect by weight,
    and by pixel:

        ∂E/∂b[o]       = Σ_npq g[n,o,p,q]
        ∂E/∂w[o,c,i,j] = Σ_npq g[n,o,p,q] x[n, c, p s + i d, q s + j d]
        ∂E/∂x[n,c,·,·] gets Σ_o g[n,o,p,q] w[o,c,i,j] at (p s + i d, q s + j d), for all p, q, i, j

    The second is a convolution of x with g, the third one of g with w turned round. What falls
    upon the padding is cut off.

    Args:
        g: (N, O, H', W').
        x: (N, C, H, W).
        w: (O, C, h, w).
        b: (O,).
        stride: s, from one window to the next.
        padding: zeros on every side.
        dilation: d, from one element of a window to the next.

    Returns:
        y, and the gradients of x, w and b.
    """
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = np.zeros_like(g) + b[:, np.newaxis, np.newaxis]
    by_wide, by_w = np.zeros_like(wide), np.zeros_like(w)
    height, width = (size * stride for size in g.shape[2:])
    for i, j in np.ndindex(*w.shape[2:]):
        top, left = i * dilation, j * dilation
        place = np.s_[:, :, top : top + height : stride, left : left + width : stride]
        y += np.einsum("ncpq,oc->nopq", wide[place], w[:, :, i, j])
        by_w[:, :, i, j] = np.einsum("nopq,ncpq->oc", g, wide[place])
        by_wide[place] += np.einsum("nopq,oc->ncpq", g, w[:, :, i, j])
    by_x = by_wide[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]
    return y, (by_x, by_w, g.sum(axis=(0, 2, 3)))


def grouped_convolution(
    g: Array, x: Array, w: Array, b: Array, groups: int, *settings: int
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Each group has its share of the channels of x, y, w and b, and no part in the others.

    So every gradient is that of the groups, side by side.

    Args:
        g: (N, O, H', W').
        x: (N, C, H, W).
        w: (O, C / groups, h, w).
        b: (O,).
        groups: how many; divides C and O.
        *settings: stride, padding and dilation of each.

    Returns:
        y, and the gradients of x, w and b.
    """
    shares = zip(
        np.split(g, groups, 1), np.split(x, groups, 1), np.split(w, groups), np.split(b, groups),
        strict=True,
    )  # fmt: skip
    parts = [convolution(*share, *settings) for share in shares]
    y = np.concatenate([value for value, _ in parts], axis=1)
    by_x, by_w, by_b = zip(*(gradients for _, gradients in parts), strict=True)
    return y, (np.concatenate(by_x, axis=1), np.concatenate(by_w), np.concatenate(by_b))


# --- LLaMA's MLP ----------------------------------------------------------------------------------


def gated_mlp(
    g: Array, x: Array, G: Array, U: Array, D: Array
) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    """LLaMA's MLP: u = x G, v = x U, h = silu(u) ⊙ v, y = h D, with silu(u) = u σ(u).

    The product rule for u σ(u), with σ' = σ (1 - σ):

        silu'(u) = σ + u σ (1 - σ) = σ (1 + u (1 - σ))

    and the chain rule from the end:

        ∂E/∂h = g Dᵀ,    δ_u = ∂E/∂h ⊙ v ⊙ silu'(u),    δ_v = ∂E/∂h ⊙ silu(u)

        ∂E/∂D = hᵀ g,    ∂E/∂G = xᵀ δ_u,    ∂E/∂U = xᵀ δ_v,    ∂E/∂x = δ_u Gᵀ + δ_v Uᵀ

    Column k of δ_u, δ_v and h needs column k of G and U and row k of D alone: a slice of the units
    has a slice of these gradients, and only y and ∂E/∂x are summed over slices.

    Args:
        g: (N, n).
        x: (N, n).
        G: (n, m), the gate.
        U: (n, m), up.
        D: (m, n), down.

    Returns:
        y, and the gradients of x, G, U and D.
    """
    u, v = x @ G, x @ U
    s = sigmoid(u)
    by_h = g @ D.T
    delta_u, delta_v = by_h * v * s * (1 + u * (1 - s)), by_h * u * s
    h = u * s * v
    return h @ D, (delta_u @ G.T + delta_v @ U.T, x.T @ delta_u, x.T @ delta_v, h.T @ g)


def main() -> None:
    """Compare every derivation with the engine, on inputs that Hypothesis chooses."""
    import tinygrad_edu as tg

    rng = np.random.default_rng(0)
    h, U, W = rng.normal(size=(3, 2)), rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    g, given, wanted = rng.normal(size=(3, 2)), rng.integers(5, size=(3, 4)), np.array([4, 0, 4])
    nodes, signs = rng.integers(5, size=(3, 4)), np.array([[1, -1, -1, 1]] * 2 + [[-1, 1, 0, 0]])
    x, w, b = rng.normal(size=(2, 2, 5, 4)), rng.normal(size=(3, 2, 2, 3)), rng.normal(size=3)
    options = {"stride": 2, "padding": 1, "dilation": 2}
    g_y = rng.normal(size=tg.conv2d(x, w, b, **options).shape)
    matrices = [rng.normal(size=shape) for shape in ((3, 2), (2, 4), (2, 4), (4, 2))]

    def vector(W: Any) -> Any:
        return np.sum(g * np.mean(tg.embedding(W, given), axis=1))

    def softmax(h: Any, U: Any) -> Any:
        return tg.cross_entropy(h @ U.T, wanted)

    def decisions(h: Any, U: Any) -> Any:
        z = np.sum(tg.embedding(U, nodes) * np.expand_dims(h, 1), axis=2)
        return -np.sum(np.abs(signs) * tg.log_sigmoid(signs * z)) / len(nodes)

    def convolved(x: Any, w: Any, b: Any) -> Any:
        return np.sum(g_y * tg.conv2d(x, w, b, **options))

    def grouped(x: Any, w: Any, b: Any) -> Any:
        return np.sum(g_y[:, :2] * tg.conv2d(x, w, b, **options, groups=2))

    def gated(x: Any, G: Any, U: Any, D: Any) -> Any:
        return np.sum(g * ((tg.silu(x @ G) * (x @ U)) @ D))

    for function, formula, inputs in (
        (vector, lambda W: word_vector(g, W, given)[1], (W,)),
        (softmax, lambda *p: full_softmax(*p, wanted)[1], (h, U)),
        (decisions, lambda *p: binary_decisions(*p, nodes, signs)[1], (h, U)),
        (convolved, lambda *p: convolution(g_y, *p, **options)[1], (x, w, b)),
        (
            grouped,
            lambda *p: grouped_convolution(g_y[:, :2], *p, 2, *options.values())[1],
            (x, w[:2, :1], b[:2]),
        ),
        (gated, lambda *p: gated_mlp(g, *p)[1], matrices),
    ):
        report = tg.check_derivation(function, formula, *inputs)
        print(f"{function.__name__:12}  engine = derivation in {report.cases} cases")


if __name__ == "__main__":
    main()

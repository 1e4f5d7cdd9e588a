"""Output layers, losses and activations derived by hand, and networks that end in them.

`derivations.py` goes from one neuron to a network of any depth. What is missing there is here: the
three pairs of output layer and loss, softmax regression, activations with a learnt slope, and why
activations are needed at all. Run this file, and the derivations are compared with the engine:

    python examples/derivations_networks.py

Notation: z is what arrives at the last layer, (N, K) for N examples, and t the target. All losses
are means, as PyTorch's are: over N K numbers, or over N examples where a class is one answer. From
one example the gradient is the same without 1/N: that is `reduction="none"`, whose rows are summed
with the cotangent (1/N, ..., 1/N).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any


def sigmoid(z: Array) -> Array:
    """σ(z) = (1 + tanh(z/2)) / 2, with σ' = σ (1 - σ)."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def softmax(z: Array) -> Array:
    """p_k = e^z_k / Σ_m e^z_m along the last axis; a number taken from all z changes no p."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# -- output layers and losses ----------------------------------------------------------------------


def linear_mse(z: Array, t: Array) -> tuple[Array, Array]:
    """L = 1/(N K) Σ (z - t)²: ∂L/∂z = 2 (z - t) / (N K).

    Returns:
        L, and its gradient by z.
    """
    return np.mean((z - t) ** 2), 2 * (z - t) / t.size


def sigmoid_bce(z: Array, t: Array) -> tuple[Array, Array]:
    """With p = σ(z), L = -1/(N K) Σ [t log p + (1 - t) log(1 - p)], with t from 0 to 1.

    The derivative of the loss has what the derivative of σ cancels:

        ∂L/∂p = 1/(N K) · (p - t) / (p (1 - p)),    ∂p/∂z = p (1 - p)
        ∂L/∂z = (p - t) / (N K)

    Returns:
        L, and its gradient by z.
    """
    p = sigmoid(z)
    return -np.mean(t * np.log(p) + (1 - t) * np.log1p(-p)), (p - t) / t.size


def sigmoid_bce_from_logits(z: Array, t: Array) -> tuple[Array, Array]:
    """The same without a logarithm of p, which may round to 0 or 1.

    log σ(z) = -softplus(-z) and log(1 - σ(z)) = -softplus(z), with softplus(z) = log(1 + e^z) and
    softplus(-z) = softplus(z) - z. So each term is

        t softplus(-z) + (1 - t) softplus(z) = softplus(z) - t z

    and since softplus' = σ, ∂L/∂z = (σ(z) - t) / (N K), as before. No e^z overflows in
    softplus(z) = max(z, 0) + log(1 + e^-|z|).
    """
    softplus = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return np.mean(softplus - t * z), (sigmoid(z) - t) / t.size


def softmax_ce(z: Array, labels: Array) -> tuple[Array, Array]:
    """With p = softmax(z), L = -1/N Σ_n log p_n,t(n).

    A softmax has a derivative by every z, since all share the sum: ∂p_k/∂z_m = p_k ([k = m] - p_m).
    Of ∂L/∂p only the right class is not 0: -1/(N p_t). So

        ∂L/∂z_m = -1/(N p_t) · p_t ([t = m] - p_m) = (p_m - [t = m]) / N

    Args:
        z: (N, K).
        labels: (N,), the numbers t(n) of the right classes.

    Returns:
        L, and its gradient by z.
    """
    p, N = softmax(z), len(labels)
    one_hot = np.eye(z.shape[1])[labels]
    return -np.mean(np.log(p[np.arange(N), labels])), (p - one_hot) / N


def softmax_ce_from_logits(z: Array, labels: Array) -> tuple[Array, Array]:
    """The same as L = 1/N Σ_n (logsumexp(z_n) - z_n,t(n)): ∂ logsumexp / ∂z = softmax(z)."""
    top = z.max(axis=1, keepdims=True)
    logsumexp = top[:, 0] + np.log(np.exp(z - top).sum(axis=1))
    N, one_hot = len(labels), np.eye(z.shape[1])[labels]
    return np.mean(logsumexp - z[np.arange(N), labels]), (softmax(z) - one_hot) / N


# -- networks --------------------------------------------------------------------------------------


def softmax_regression(
    x: Array, W: Array, b: Array, labels: Array
) -> tuple[Array, tuple[Array, ...]]:
    """One linear layer before softmax and cross-entropy: z = x W + b.

    With δ = ∂L/∂z = (softmax(z) - onehot) / N, as for any layer

        ∂L/∂W = xᵀ δ,    ∂L/∂b = Σ_n δ_n,    ∂L/∂x = δ Wᵀ

    Args:
        x: (N, n_in).
        W: (n_in, K).
        b: (K,).
        labels: (N,) integers.

    Returns:
        L, and its gradients by x, W and b.
    """
    value, delta = softmax_ce_from_logits(x @ W + b, labels)
    return value, (delta @ W.T, x.T @ delta, delta.sum(axis=0))


def relu_network(
    x: Array, W1: Array, b1: Array, W2: Array, b2: Array, labels: Array
) -> tuple[Array, tuple[Array, ...]]:
    """A hidden layer with ReLU before it: h = max(0, z₁), z₁ = x W1 + b1, z₂ = h W2 + b2.

    The error goes back through W2, and on where the unit was on; at the kink the derivative is 0.

        δ₂ = (softmax(z₂) - onehot) / N,    δ₁ = δ₂ W2ᵀ ⊙ [z₁ > 0]

    Returns:
        L, and its gradients by x, W1, b1, W2 and b2.
    """
    z1 = x @ W1 + b1
    value, (by_h, by_W2, by_b2) = softmax_regression(np.maximum(z1, 0), W2, b2, labels)
    delta1 = by_h * (z1 > 0)
    return value, (delta1 @ W1.T, x.T @ delta1, delta1.sum(axis=0), by_W2, by_b2)


def two_linear_layers(
    g: Array, x: Array, W1: Array, b1: Array, W2: Array, b2: Array
) -> tuple[Array, tuple[Array, ...]]:
    """Two layers without an activation are one: O = (x W1 + b1) W2 + b2 = x (W1 W2) + (b1 W2 + b2).

    From the cotangent g = ∂E/∂O, written with the one layer V = W1 W2, c = b1 W2 + b2:

        ∂E/∂V = xᵀ g,    ∂E/∂c = Σ_n g_n = s
        ∂E/∂W1 = ∂E/∂V W2ᵀ,    ∂E/∂b1 = s W2ᵀ,    ∂E/∂b2 = s
        ∂E/∂W2 = W1ᵀ ∂E/∂V + b1ᵀ s,    ∂E/∂x = g Vᵀ

    Returns:
        O, and the gradients by x, W1, b1, W2 and b2.
    """
    V, c = W1 @ W2, b1 @ W2 + b2
    by_V, s = x.T @ g, g.sum(axis=0)
    by_W2 = W1.T @ by_V + np.outer(b1, s)
    return x @ V + c, (g @ V.T, by_V @ W2.T, s @ W2.T, by_W2, s)


# -- activations -----------------------------------------------------------------------------------


def prelu(g: Array, x: Array, alpha: Array) -> tuple[Array, tuple[Array, Array]]:
    """f(x) = max(0, x) + α min(0, x), where α is learnt (He et al. 2015, equations 1 and 10).

        ∂f/∂x = 1 where x > 0, else α;    ∂f/∂α = min(0, x), summed over all that share it

    With a fixed α this is the leaky ReLU, with α = 0 the ReLU.

    Args:
        g: cotangent of f, of any shape.
        x: likewise.
        alpha: (1,).

    Returns:
        f, and the gradients by x and α.
    """
    negative = np.minimum(0, x)
    by_alpha = np.sum(g * negative).reshape(1)
    return np.maximum(0, x) + alpha * negative, (g * np.where(x > 0, 1, alpha), by_alpha)


# f, and f' written with out = f(x).
SLOPES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    # d/dx (1 + e^-x)^-1 = e^-x (1 + e^-x)^-2, and e^-x / (1 + e^-x) is 1 - σ.
    "sigmoid": (sigmoid, lambda out: out * (1 - out)),
    # (sinh / cosh)' = (cosh² - sinh²) / cosh². And tanh x = 2 σ(2x) - 1 gives 4 σ(2x) (1 - σ(2x)).
    "tanh": (np.tanh, lambda out: 1 - out**2),
    "relu": (lambda x: np.maximum(x, 0), lambda out: (out > 0) * 1.0),
}


def main() -> None:
    """Let the engine differentiate each function, and compare with what was derived."""
    import tinygrad_edu as tg  # here, to show that the derivations need nothing of it

    rng = np.random.default_rng(0)
    z, t, yes = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))
    g, labels = rng.normal(size=(4, 3)), np.array([0, 2, 1, 2])
    x, W1, b1 = rng.normal(size=(4, 2)), rng.normal(size=(2, 5)), rng.normal(size=5)
    W2, b2 = rng.normal(size=(5, 3)), rng.normal(size=3)

    def network(x: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        return tg.cross_entropy(tg.relu(x @ W1 + b1) @ W2 + b2, labels)

    def two_layers(x: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        return np.sum(g * ((x @ W1 + b1) @ W2 + b2))

    cases: dict[str, tuple[Any, Any, tuple[Array, ...]]] = {
        "linear, MSE": (lambda z: tg.mse_loss(z, t), lambda z: linear_mse(z, t)[1], (z,)),
        "sigmoid, BCE": (
            lambda z: tg.binary_cross_entropy_with_logits(z, yes),
            lambda z: sigmoid_bce_from_logits(z, yes)[1],
            (z,),
        ),
        "softmax, CE": (
            lambda z: tg.cross_entropy(z, labels),
            lambda z: softmax_ce_from_logits(z, labels)[1],
            (z,),
        ),
        "softmax regression": (
            lambda x, W, b: tg.cross_entropy(x @ W + b, labels),
            lambda x, W, b: softmax_regression(x, W, b, labels)[1],
            (x, W1[:, :3], b1[:3]),
        ),
        "ReLU network": (network, lambda *p: relu_network(*p, labels)[1], (x, W1, b1, W2, b2)),
        "two linear layers": (
            two_layers,
            lambda *p: two_linear_layers(g, *p)[1],
            (x, W1, b1, W2, b2),
        ),
        "PReLU": (
            lambda x, alpha: np.sum(g * tg.prelu(x, alpha)),
            lambda x, alpha: prelu(g, x, alpha)[1],
            (z, np.array([0.25])),
        ),
    }
    for name, (function, formula, inputs) in cases.items():
        report = tg.check_derivation(function, formula, *inputs)
        print(f"{name:<18}  engine = derivation in {report.cases} cases")


if __name__ == "__main__":
    main()

"""Back-propagation derived by hand: from one neuron to a network of any depth, in plain NumPy.

Each function computes a loss and its gradient, with nothing but the formulas that its docstring
derives. Run this file, and every derivation is compared with the engine on many random inputs:

    python examples/derivations.py

Notation: x is the input, (N, n_in), one sample per row. W is a matrix of weights, (n_in, n_out):
W_jk leads from unit j of one layer to unit k of the next. z = xW + b is what arrives at a layer,
O = f(z) is what leaves it, t is the target. δ = ∂E/∂z is the error signal of a layer, (N, n_out).
"""

# ruff: noqa: E741  # O is what the textbooks call an output

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + e^-z), written so that nothing overflows: σ(z) = (1 + tanh(z/2)) / 2.

    Its derivative needs no new exponential: σ' = e^-z / (1 + e^-z)² = σ (1 - σ).
    """
    return 0.5 * (1 + np.tanh(0.5 * z))


def perceptron(x: Array, w: Array, t: Array) -> tuple[Array, Array]:
    """One output: O = σ(x wᵀ), E = ½ Σ (O - t)².

    For one sample, z = Σ_j w_j x_j. The chain rule goes E -> O -> z -> w_j:

        ∂E/∂O = O - t                  the ½ cancels the 2
        ∂O/∂z = O (1 - O)              the derivative of σ
        ∂z/∂w_j = x_j

        ∂E/∂w_j = (O - t) · O (1 - O) · x_j,  summed over the samples

    Args:
        x: (N, n_in).
        w: (1, n_in).
        t: (N, 1).

    Returns:
        E, and its gradient by w.
    """
    O = sigmoid(x @ w.T)
    delta = (O - t) * O * (1 - O)
    return 0.5 * np.sum((O - t) ** 2), delta.T @ x


def perceptron_mean(x: Array, w: Array, t: Array) -> tuple[Array, Array]:
    """The same neuron with the mean squared error, as PyTorch has it: L = 1/(N K) Σ (O - t)².

    Over N samples of K outputs (K = 1 here) L = 2/(N K) · E, so the gradient has the same factor:

        ∂L/∂w_j = 2/(N K) · Σ_n (O_n - t_n) · O_n (1 - O_n) · x_nj
    """
    E, gradient = perceptron(x, w, t)
    factor = 2 / t.size
    return factor * E, factor * gradient


def several_outputs(x: Array, W: Array, t: Array) -> tuple[Array, Array]:
    """K outputs: O = σ(x W), E = ½ Σ_n Σ_k (O_nk - t_nk)².

    W_jk reaches the error through O_k only: of the sum over k one term is left.

        ∂E/∂W_jk = (O_k - t_k) · O_k (1 - O_k) · x_j = δ_k x_j

    and for all samples at once Σ_n x_nj δ_nk = (xᵀ δ)_jk.

    Args:
        x: (N, n_in).
        W: (n_in, K).
        t: (N, K).

    Returns:
        E, and its gradient by W.
    """
    O = sigmoid(x @ W)
    delta = (O - t) * O * (1 - O)
    return 0.5 * np.sum((O - t) ** 2), x.T @ delta


def one_hidden_layer(
    x: Array, W_ij: Array, W_jk: Array, t: Array
) -> tuple[Array, tuple[Array, Array]]:
    """Layers i, j, k, all with σ: O_j = σ(x W_ij), O_k = σ(O_j W_jk), E = ½ Σ (O_k - t_k)².

    The last layer is the case above, with O_j as its input:

        δ_k = ∂E/∂z_k = (O_k - t_k) · O_k (1 - O_k)
        ∂E/∂W_jk = O_j δ_k

    A hidden unit j reaches the error through *every* output k: the chain rule adds the paths.

        ∂E/∂O_j = Σ_k ∂E/∂z_k · ∂z_k/∂O_j = Σ_k δ_k W_jk
        δ_j = ∂E/∂O_j · O_j (1 - O_j)
        ∂E/∂W_ij = O_i δ_j = O_i · O_j (1 - O_j) · Σ_k δ_k W_jk,  with O_i = x_i

    Σ_k δ_k W_jk is row n of δ_k times W_jkᵀ: the errors go back through the same weights.

    Args:
        x: (N, I).
        W_ij: (I, J).
        W_jk: (J, K).
        t: (N, K).

    Returns:
        E, and its gradients by W_ij and W_jk.
    """
    O_j = sigmoid(x @ W_ij)
    O_k = sigmoid(O_j @ W_jk)
    delta_k = (O_k - t) * O_k * (1 - O_k)
    delta_j = (delta_k @ W_jk.T) * O_j * (1 - O_j)
    return 0.5 * np.sum((O_k - t) ** 2), (x.T @ delta_j, O_j.T @ delta_k)


# f, and f'(z) written with O = f(z), which is at hand.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda z: z, lambda O: 1.0),
    "sigmoid": (sigmoid, lambda O: O * (1 - O)),
    "tanh": (np.tanh, lambda O: 1 - O**2),  # tanh' = 1 - tanh²
    "relu": (lambda z: np.maximum(z, 0), lambda O: O > 0),  # at the kink: 0
}


def squared_error(O: Array, t: Array) -> tuple[Array, Array]:
    """E = ½ Σ (O - t)², and ∂E/∂O = O - t."""
    return 0.5 * np.sum((O - t) ** 2), O - t


def mean_squared_error(O: Array, t: Array) -> tuple[Array, Array]:
    """L = 1/(N K) Σ (O - t)², and ∂L/∂O = 2 (O - t) / (N K)."""
    return np.mean((O - t) ** 2), 2 * (O - t) / t.size


def cross_entropy(O: Array, t: Array) -> tuple[Array, Array]:
    """L = -1/N Σ_n log p_n,t(n) with p = softmax(O), for the number t(n) of the right class.

    With p_k = e^O_k / Σ_m e^O_m: log p_k = O_k - log Σ_m e^O_m, and

        ∂ log p_k / ∂O_m = [k = m] - p_m

    so ∂L/∂O_nm = (p_nm - [t(n) = m]) / N: prediction minus target, again.

    Args:
        O: (N, K), any real numbers.
        t: (N,), integers from 0 to K - 1.

    Returns:
        L, and its gradient by O.
    """
    N = len(t)
    shifted = O - O.max(axis=1, keepdims=True)  # changes no p, and nothing overflows
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    one_hot = t.reshape(-1, 1) == np.arange(O.shape[1])
    return -log_p[one_hot].sum() / N, (np.exp(log_p) - one_hot) / N


LOSSES = {
    "squared error": squared_error,
    "mean squared error": mean_squared_error,
    "cross-entropy": cross_entropy,
}


def mlp(
    x: Array,
    t: Array,
    weights: Sequence[Array],
    biases: Sequence[Array],
    activations: Sequence[str],
    loss: str = "squared error",
) -> tuple[Array, list[Array], list[Array]]:
    """A network of any depth, with a bias and an activation of its own in every layer.

    Layer l computes z⁽ˡ⁾ = O⁽ˡ⁻¹⁾ W⁽ˡ⁾ + b⁽ˡ⁾ and O⁽ˡ⁾ = f⁽ˡ⁾(z⁽ˡ⁾), beginning with O⁽⁰⁾ = x. One
    hidden layer told everything; now it is done once per layer, from the last to the first:

        δ⁽ᴸ⁾ = ∂L/∂O⁽ᴸ⁾ ⊙ f'(z⁽ᴸ⁾)
        δ⁽ˡ⁾ = (δ⁽ˡ⁺¹⁾ W⁽ˡ⁺¹⁾ᵀ) ⊙ f'(z⁽ˡ⁾)

        ∂L/∂W⁽ˡ⁾ = O⁽ˡ⁻¹⁾ᵀ δ⁽ˡ⁾
        ∂L/∂b⁽ˡ⁾ = Σ_n δ⁽ˡ⁾_n          every sample got the same b: ∂z_nk/∂b_k = 1 for each n

    Args:
        x: (N, n_0).
        t: (N, n_L), or (N,) integers for the cross-entropy.
        weights: of layer l (n_l-1, n_l).
        biases: of layer l (n_l,).
        activations: per layer "identity", "sigmoid", "tanh" or "relu".
        loss: "squared error", "mean squared error" or "cross-entropy".

    Returns:
        The loss, its gradients by the weights, and by the biases.
    """
    outputs = [x]
    for W, b, activation in zip(weights, biases, activations, strict=True):
        f, _ = ACTIVATIONS[activation]
        outputs.append(f(outputs[-1] @ W + b))
    value, error = LOSSES[loss](outputs[-1], t)
    by_weights, by_biases = [], []
    for i in reversed(range(len(weights))):
        _, slope = ACTIVATIONS[activations[i]]
        delta = error * slope(outputs[i + 1])
        by_weights.insert(0, outputs[i].T @ delta)
        by_biases.insert(0, delta.sum(axis=0))
        error = delta @ weights[i].T
    return value, by_weights, by_biases


def main() -> None:
    """Let the engine differentiate each loss, and compare with what was derived."""
    import tinygrad_edu as tg  # here, to show that the derivations need nothing of it

    def check(example: Callable[..., Any], x: Array, *parameters: Array, t: Array) -> None:
        def loss(*arrays: Array) -> Array:
            return example(*arrays)[0]

        def derivation(*arrays: Array) -> tuple[Array | None, ...]:
            gradient = example(*arrays)[1]
            return (None, *(gradient if isinstance(gradient, tuple) else (gradient,)), None)

        report = tg.check_derivation(loss, derivation, x, *parameters, t)
        print(f"{example.__name__:<17} engine = derivation in {report.cases} cases")

    def four_layers(x: Array, *parameters: Array) -> tuple[Array, tuple[Array, ...]]:
        *parameters, t = parameters
        activations = ("tanh", "relu", "sigmoid", "identity")
        value, by_weights, by_biases = mlp(x, t, parameters[:4], parameters[4:], activations)
        return value, (*by_weights, *by_biases)

    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(4, 3)), rng.uniform(size=(4, 2))
    check(perceptron, x, rng.normal(size=(1, 3)), t=t[:, :1])
    check(perceptron_mean, x, rng.normal(size=(1, 3)), t=t[:, :1])
    check(several_outputs, x, rng.normal(size=(3, 2)), t=t)
    check(one_hidden_layer, x, rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), t=t)
    weights = [rng.normal(size=shape) for shape in ((3, 4), (4, 2), (2, 3), (3, 2))]
    biases = [rng.normal(size=W.shape[1]) for W in weights]
    check(four_layers, x, *weights, *biases, t=t)


if __name__ == "__main__":
    main()

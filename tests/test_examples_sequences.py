"""Examples 12 to 19: what they build from ops equals the layers, and they reach their figures."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from examples import derivations_sequences as by_hand
from tinygrad_edu import nn

Array = Any
EXAMPLES = Path(by_hand.__file__).parent
NAMES = [
    "12_word2vec", "20_hierarchical_softmax", "13_rnn", "14_gru_and_lstm",
    "15_vanishing_gradients", "16_bidirectional", "17_cnn", "18_sentences", "19_gated_mlp",
]  # fmt: skip
sizes = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)


@cache
def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def agree(
    loss: tg.Tensor, leaves: list[tg.Tensor], value: Any, derived: Any, limit: float = 1e-10
) -> None:
    loss.backward()
    assert loss.item() == pytest.approx(float(value), rel=1e-10, abs=1e-10)
    largest = max(np.abs(gradient).max() for gradient in derived)
    for leaf, gradient in zip(leaves, derived, strict=True):
        assert leaf.grad.shape == gradient.shape
        assert np.abs(np.asarray(leaf.grad) - gradient).max() <= limit * (1 + largest)


def leaf(array: Array) -> tg.Tensor:
    return tg.Tensor(array, requires_grad=True)


# --- every example --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_quick_run_reaches_its_figure(name: str) -> None:
    module = example(name)
    assert module.reached(module.run(0, quick=True), quick=True)


@pytest.mark.parametrize(
    ("name", "enough", "short"),
    [
        ("12_word2vec", 1.0, 0.75),
        ("20_hierarchical_softmax", 1, 2),
        ("15_vanishing_gradients", 3, 2),
        ("13_rnn", 0.99, 1.01),
        ("14_gru_and_lstm", 0.019, 0.021),
        ("16_bidirectional", 0.99, 0.98),
        ("17_cnn", 0.98, 0.979),
        ("18_sentences", 0.98, 0.979),
        ("19_gated_mlp", 1e-13, 1e-11),
    ],
)
def test_the_figure_asked_is_the_bound(name: str, enough: float, short: float) -> None:
    assert example(name).reached(enough)
    assert not example(name).reached(short)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_what_it_asks(name: str) -> None:
    module = example(name)
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 120
    assert module.ASKED and module.ROWS and module.SEEDS >= 5


# --- 12: word vectors -----------------------------------------------------------------------------


@given(sizes, sizes, sizes, seeds)
def test_word2vec_losses_equal_their_derivations(N: int, K: int, d: int, seed: int) -> None:
    rng, words = np.random.default_rng(seed), 6
    h, U, W = rng.normal(size=(N, d)), rng.normal(size=(words, d)), rng.normal(size=(words, d))
    wanted, nodes = rng.integers(words, size=N), rng.integers(words, size=(N, K))
    signs = rng.integers(-1, 2, size=(N, K))
    leaves = [leaf(h), leaf(U)]
    loss = example("12_word2vec").decisions(*leaves, nodes, signs)
    agree(loss, leaves, *by_hand.binary_decisions(h, U, nodes, signs))
    leaves = [leaf(h), leaf(U)]
    agree(
        tg.cross_entropy(leaves[0] @ leaves[1].T, wanted),
        leaves,
        *by_hand.full_softmax(h, U, wanted),
    )
    g, leaves = rng.normal(size=(N, d)), [leaf(W)]
    vector, by_W = by_hand.word_vector(g, W, nodes)
    loss = np.sum(g * np.mean(tg.embedding(leaves[0], nodes, sparse=True), axis=1))
    agree(loss, leaves, np.sum(g * vector), [by_W])


@given(sizes, sizes, sizes, seeds)
def test_layers_for_word_vectors_equal_the_derivation(N: int, C: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, output = nn.Embedding(6, d, rng=rng), nn.Linear(d, 6, bias=False, rng=rng)
    given_words, wanted = rng.integers(6, size=(N, C)), rng.integers(6, size=N)
    loss = nn.CrossEntropyLoss()(output(np.mean(vectors(given_words), axis=1)), wanted)
    W, U = vectors.weight.data, output.weight.data
    h = W[given_words].mean(axis=1)
    value, (by_h, by_U) = by_hand.full_softmax(h, U, wanted)
    _, by_W = by_hand.word_vector(by_h, W, given_words)
    agree(loss, [vectors.weight, output.weight], value, [by_W, by_U])


def test_windows_show_the_words_around_each_word_of_a_sentence() -> None:
    around, middle = example("12_word2vec").windows(np.array([[5, 6, 7, 8, 9], [3, 4, 0, 0, 0]]))
    assert middle.tolist() == [5, 6, 7, 8, 9, 3, 4]
    assert around[0].tolist() == [0, 0, 0, 6, 7, 8]
    assert around[4].tolist() == [6, 7, 8, 0, 0, 0]
    assert around[6].tolist() == [0, 0, 3, 0, 0, 0]


def test_huffmans_tree_has_the_shortest_ways_to_the_most_frequent_words() -> None:
    _, turns = example("20_hierarchical_softmax").huffman(np.array([0, 45, 13, 12, 16, 9, 5]))
    # T. Cormen et al., Introduction to Algorithms, section 16.3 has this very tree.
    assert np.count_nonzero(turns, axis=1).tolist() == [0, 1, 3, 3, 3, 4, 4]


@given(st.lists(st.integers(1, 50), min_size=2, max_size=12), seeds)
def test_the_hierarchical_softmax_is_a_distribution(counts: list[int], seed: int) -> None:
    nodes, turns = example("20_hierarchical_softmax").huffman(np.array(counts))
    assert nodes.max() == len(counts) - 2  # a binary tree has one inner node less than leaves
    rng, total = np.random.default_rng(seed), 0.0
    h, U = tg.Tensor(rng.normal(size=(1, 3))), tg.Tensor(rng.normal(size=(len(counts), 3)))
    for word in range(len(counts)):
        way = nodes[[word]], turns[[word]]
        loss = example("20_hierarchical_softmax").decisions(h, U, *way)
        total += np.exp(-loss.item())
    assert total == pytest.approx(1, rel=1e-12)


def test_the_gradient_of_word_vectors_has_only_the_rows_that_were_used() -> None:
    rng = np.random.default_rng(0)
    U, h = leaf(rng.normal(size=(1000, 4))), leaf(rng.normal(size=(2, 4)))
    nodes = np.array([[3, 700], [3, 9]])
    example("12_word2vec").decisions(h, U, nodes, np.ones((2, 2))).backward()
    assert isinstance(U.grad, tg.RowSparse)
    assert U.grad.rows.tolist() == [3, 9, 700]


# --- 13, 14, 16: recurrence -----------------------------------------------------------------------


def test_an_rnn_from_ops_equals_the_layer() -> None:
    assert example("13_rnn").apart() < 1e-12


def test_without_clipping_the_exploding_gradient_spoils_what_clipping_learns() -> None:
    train = example("13_rnn").train
    clipped, free = (
        np.mean([train(seed, 100, norm, verses=6)[1][-1].loss for seed in range(3)])
        for norm in (0.5, None)
    )
    assert clipped < free - 0.5


def test_a_network_that_has_learnt_nothing_still_makes_a_text() -> None:
    module = example("13_rnn")
    text = module.sample(module.LanguageModel(np.random.default_rng(0)), np.random.default_rng(0))
    assert 0 < len(text) <= 400
    assert set(text) <= set(module.ALPHABET)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_gated_cells_from_ops_equal_the_layer(kind: str) -> None:
    assert example("14_gru_and_lstm").apart(kind) < 1e-12


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_two_layers_of_one_direction_equal_the_bidirectional_layer(kind: str) -> None:
    assert example("16_bidirectional").apart(kind) < 1e-12


def test_one_direction_cannot_see_what_comes_later() -> None:
    history = example("16_bidirectional").train("GRU", False, seed=0, epochs=6)
    assert history[-1].test_accuracy < 0.65


# --- 17, 18: convolution --------------------------------------------------------------------------


@given(sizes, sizes, st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), sizes, seeds)
def test_convolution_equals_its_derivation(
    N: int, C: int, stride: int, dilation: int, padding: int, kernel: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    height = (kernel - 1) * dilation + 1 + int(rng.integers(4))
    x, w, b = (
        rng.normal(size=(N, C, height, 9)),
        rng.normal(size=(2, C, kernel, 2)),
        rng.normal(size=2),
    )
    leaves = [leaf(x), leaf(w), leaf(b)]
    y = tg.conv2d(*leaves, stride, padding, dilation)
    g = rng.normal(size=y.shape)
    value, derived = by_hand.convolution(g, x, w, b, stride, padding, dilation)
    agree(np.sum(g * y), leaves, np.sum(g * value), derived)


@given(sizes, st.integers(1, 3), st.integers(1, 2), st.integers(0, 1), seeds)
def test_convolution_in_groups_equals_its_derivation(
    N: int, groups: int, stride: int, padding: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, w, b = (
        rng.normal(size=(N, 2 * groups, 5, 4)),
        rng.normal(size=(3 * groups, 2, 2, 3)),
        rng.normal(size=3 * groups),
    )
    leaves = [leaf(x), leaf(w), leaf(b)]
    y = tg.conv2d(*leaves, stride, padding, groups=groups)
    g = rng.normal(size=y.shape)
    value, derived = by_hand.grouped_convolution(g, x, w, b, groups, stride, padding)
    agree(np.sum(g * y), leaves, np.sum(g * value), derived)


@pytest.mark.parametrize(
    "settings", [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1), (3, 1, 2, 2)], ids=str
)
def test_convolution_from_ops_equals_the_layer(settings: tuple[int, ...]) -> None:
    assert example("17_cnn").apart(*settings) < 1e-12


def test_a_bag_of_words_cannot_tell_what_was_negated() -> None:
    module = example("18_sentences")
    history = module.train(module.BagOfWords, seed=0, epochs=4)[1]
    assert history[-1].test_accuracy < 0.85


# --- 19: LLaMA's MLP ------------------------------------------------------------------------------


@given(sizes, sizes, sizes, sizes, seeds)
def test_gated_mlp_whole_and_sliced_equal_the_derivation(
    N: int, n: int, per: int, parts: int, seed: int
) -> None:
    rng, m = np.random.default_rng(seed), per * parts
    arrays = [rng.normal(size=shape) for shape in ((N, n), (n, m), (n, m), (m, n))]
    g = rng.normal(size=(N, n))
    value, derived = by_hand.gated_mlp(g, *arrays)
    module = example("19_gated_mlp")
    for slices in (1, parts):
        leaves = [leaf(array) for array in arrays]
        y = module.sliced(*leaves, slices)
        agree(np.sum(g * y), leaves, np.sum(g * value), derived, limit=1e-12)


@given(st.integers(1, 16), seeds)
def test_every_number_of_parts_that_divides_gives_the_same(units: int, seed: int) -> None:
    found = example("19_gated_mlp").differences(seed, width=3, units=units)
    assert list(found) == [T for T in range(1, units + 1) if units % T == 0]
    assert max(found.values()) <= 1e-12


# --- as a student runs them -----------------------------------------------------------------------


@pytest.mark.parametrize("file", ["derivations_sequences.py", "19_gated_mlp.py"])
def test_the_file_runs_as_a_script(file: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},  # installed or not
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 5


@pytest.mark.parametrize(
    "name",
    [
        "12_word2vec.png",
        "15_vanishing_gradients.png",
        "18_sentences.png",
        "19_gated_mlp.svg",
        "20_hierarchical_softmax.png",
    ],
)
def test_an_example_writes_its_picture(name: str, tmp_path: Path) -> None:
    path = example(name.partition(".")[0]).picture(tmp_path / "new")
    assert path.name == name
    assert path.stat().st_size > 5000

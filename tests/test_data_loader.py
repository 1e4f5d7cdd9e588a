"""DataLoader: which examples come in which batch, copies, orders, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu.data import DataLoader, load_digits

X = np.arange(20.0, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Squares:
    """A data set that computes its examples; like those of PyTorch it has no __iter__."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        assert type(i) is int
        return np.full(3, i, np.float32), i * i


@given(st.integers(1, 30), st.integers(1, 35), st.booleans(), st.booleans(), st.integers(0, 9))
def test_every_example_comes_once(count, batch_size, shuffle, drop_last, seed):
    x, y = np.arange(3 * count).reshape(count, 3), np.arange(count)
    if drop_last and batch_size > count:
        return
    loader = DataLoader((x, y), batch_size, shuffle, drop_last=drop_last, rng=rng(seed))
    batches = [*loader]
    assert len(batches) == len(loader)
    sizes = [len(labels) for _, labels in batches]
    rest = count % batch_size
    assert sizes == [batch_size] * (count // batch_size) + [rest] * bool(rest and not drop_last)
    seen = np.concatenate([labels for _, labels in batches])
    assert len(set(seen.tolist())) == len(seen) == sum(sizes)
    assert all(np.array_equal(x[labels], inputs) for inputs, labels in batches)
    if not shuffle:
        assert np.array_equal(seen, y[: len(seen)])


def test_without_shuffling_batches_are_views():
    for x, y in DataLoader((X, Y), 4):
        assert np.shares_memory(x, X)
        assert np.shares_memory(y, Y)


def test_a_shuffled_batch_is_one_copy():
    for x, _ in DataLoader((X, Y), 4, shuffle=True, rng=rng()):
        assert not np.shares_memory(x, X)
        assert x.base is None  # and read-only: what an op needs not copy again


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("data", [(X, Y), Squares()])
def test_batches_cannot_be_written_into_but_the_data_can(data, shuffle):
    for batch in DataLoader(data, 4, shuffle, rng=rng()):
        for array in batch:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
    assert X.flags.writeable
    assert Y.flags.writeable


def test_a_batch_shows_what_was_written_into_the_data():
    x = X.copy()
    loader = DataLoader(x, 10)
    x[3] = -1
    ((batch,),) = loader
    assert batch[3].tolist() == [-1, -1]


def test_dtypes_stay():
    x, y = next(iter(DataLoader((X, Y.astype(np.uint8)), 3)))
    assert x.dtype == np.float32
    assert y.dtype == np.uint8


def test_each_epoch_has_an_order_of_its_own():
    loader = DataLoader((X, Y), 10, shuffle=True, rng=rng())
    first, second = (next(iter(loader))[1].tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == Y.tolist()


def test_the_order_is_that_of_the_generator():
    loader = DataLoader((X, Y), 10, shuffle=True, rng=rng(3))
    twin = rng(3)
    for _ in range(3):
        assert np.array_equal(next(iter(loader))[1], twin.permutation(10))


def test_who_restores_the_generator_gets_the_same_batches():
    generator = rng()
    loader = DataLoader((X, Y), 3, shuffle=True, rng=generator)
    list(loader)
    state = generator.bit_generator.state
    first = [y.tolist() for _, y in loader]
    generator.bit_generator.state = state
    assert [y.tolist() for _, y in loader] == first


def test_without_shuffling_no_number_is_drawn():
    generator = rng()
    list(DataLoader((X, Y), 3, rng=generator))
    assert generator.bit_generator.state == rng().bit_generator.state


def test_two_loops_at_once_do_not_disturb_each_other():
    loader = DataLoader((X, Y), 5, shuffle=True, rng=rng(1))
    outer, inner = iter(loader), iter(loader)
    twin = rng(1)
    orders = twin.permutation(10), twin.permutation(10)
    next(inner)
    assert np.array_equal(next(outer)[1], orders[0][:5])
    assert np.array_equal(next(inner)[1], orders[1][5:])


def test_examples_of_a_sequence_are_stacked():
    batches = [*DataLoader(Squares(), 3)]
    assert [y.tolist() for _, y in batches] == [[0, 1, 4], [9, 16, 25], [36]]
    assert batches[0][0].tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert batches[0][0].dtype == np.float32


def test_a_sequence_is_shuffled_too():
    order = rng(4).permutation(7)
    loader = DataLoader(Squares(), 7, shuffle=True, rng=rng(4))
    ((_, y),) = loader
    assert np.array_equal(y, order**2)


def test_examples_are_taken_only_when_their_batch_is_due():
    taken = []

    class Noting(Squares):
        def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
            taken.append(i)
            return super().__getitem__(i)

    batches = iter(DataLoader(Noting(), 3))
    next(batches)
    assert taken == [0, 1, 2]


def test_one_array_gives_batches_of_one_array():
    assert [batch[0].tolist() for batch in DataLoader(Y, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_list_is_a_sequence_of_examples():
    batches = [*DataLoader([3, 5, 7], 2)]
    assert [batch[0].tolist() for batch in batches] == [[3, 5], [7]]


def test_lists_in_a_tuple_become_arrays():
    ((x, y),) = DataLoader(([[1.0], [2.0]], [0, 1]), 2)
    assert x.shape == (2, 1)
    assert y.tolist() == [0, 1]


def test_the_digits_make_90_batches_of_16():
    digits = load_digits()
    assert len(DataLoader((digits.train_images, digits.train_labels), 16)) == 90


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        ((X, Y), {"batch_size": 0}, tg.InputError, r"batch_size must be at least 1, got 0"),
        ((X, Y), {"batch_size": -2}, tg.InputError, r"batch_size must be at least 1, got -2"),
        ((X, Y), {"batch_size": 2.0}, tg.DtypeError, r"batch_size must be a whole number, got 2.0"),
        ((X, Y), {"batch_size": True}, tg.DtypeError, r"a whole number, got True"),
        (([[1, 2], [3]], [0, 1]), {}, tg.InputError, r"lists of equal lengths; pad the shorter"),
        (
            (np.array([None, 1]), Y[:2]),
            {},
            tg.DtypeError,
            r"numbers or texts, got ndarray of dt.*ob",
        ),
        ((np.ma.array([1.0, 2.0], mask=[0, 1]), Y[:2]), {}, tg.DtypeError, r"got MaskedArray"),
        ((tg.Tensor(X, requires_grad=True), Y), {}, tg.GraphError, r"use t.detach\(\)"),
        ((X, Y[:9]), {}, tg.InputError, r"one length N, got \[\(10, 2\), \(9,\)\]"),
        (load_digits(), {}, tg.InputError, r"data.train_images, data.train_labels"),
        ((X, 3.0), {}, tg.InputError, r"got \[\(10, 2\), \(\)\]"),
        ((), {}, tg.InputError, r"expected arrays"),
        ((X[:0], Y[:0]), {}, tg.InputError, r"at least one example, got none"),
        ([], {}, tg.InputError, r"at least one example, got none"),
        ((X, Y), {"batch_size": 11, "drop_last": True}, tg.InputError, r"10 examples make no bat"),
        ((X, Y), {"shuffle": True}, tg.DtypeError, r"shuffle=True: expected rng.*got NoneType"),
        ((X, Y), {"shuffle": True, "rng": 0}, tg.DtypeError, r"default_rng\(0\), got int"),
        ({"x": X}, {}, tg.DtypeError, r"a tuple of arrays, or a sequence.*got dict"),
        ("abc", {}, tg.DtypeError, r"got str"),
        (3, {}, tg.DtypeError, r"got int"),
        (iter([X]), {}, tg.DtypeError, r"__len__ and __getitem__\), got list_iterator"),
    ],
)
def test_what_makes_no_batches_is_refused_at_the_call(data, options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(data, **options)


def test_tensors_become_arrays():
    for data in (
        (tg.Tensor(X), tg.Tensor(Y)),
        [(tg.Tensor(x), y) for x, y in zip(X, Y, strict=True)],
    ):
        ((x, y),) = DataLoader(data, 10)
        assert type(x) is type(y) is np.ndarray
        assert np.array_equal(x, X)
        assert np.array_equal(y, Y)
    assert np.array_equal(next(iter(DataLoader(tg.Tensor(X), 10)))[0], X)


@pytest.mark.parametrize("examples", [[{"x": 1}], [(np.zeros(2), None)]])
def test_examples_that_are_no_numbers_are_refused(examples):
    with pytest.raises(tg.DtypeError, match=r"expected arrays of numbers or texts, got .* object"):
        list(DataLoader(examples))


@pytest.mark.parametrize(
    "examples",
    [[np.zeros(2), np.zeros(3)], [(X, 1), (X,)], [(np.zeros(2), 0), (np.zeros(1), 0)]],
)
def test_examples_of_different_shapes_are_refused(examples):
    with pytest.raises(tg.InputError, match=r"must have equal shapes, got \(.*\), \(.*pad"):
        list(DataLoader(examples, 2))

import gzip
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.data import digits, load_digits

FOLDER = Path(digits.__file__).parent
UNPACKED_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
CLASS_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as UCI publishes them


@pytest.fixture(scope="module")
def data():
    return load_digits()


def rows(images, labels):
    """One hashable row per image, so that parts can be compared as multisets."""
    return sorted(map(tuple, np.column_stack([np.rint(images * 16), labels]).astype(int).tolist()))


def test_shapes_and_dtypes(data):
    assert data.train_images.shape == (1438, 64)
    assert data.train_labels.shape == (1438,)
    assert data.test_images.shape == (359, 64)
    assert data.test_labels.shape == (359,)
    assert data.train_images.dtype == data.test_images.dtype == np.float32
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64


def test_pixels_lie_between_0_and_1_and_reach_both(data):
    images = np.concatenate([data.train_images, data.test_images])
    assert images.min() == 0
    assert images.max() == 1
    assert np.array_equal(images * 16, np.rint(images * 16))


def test_classes_are_as_large_as_published(data):
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert np.bincount(labels).tolist() == CLASS_COUNTS


def test_split_takes_a_fifth_of_every_class(data):
    assert np.bincount(data.test_labels).tolist() == [round(0.2 * n) for n in CLASS_COUNTS]


def test_both_parts_together_are_the_file(data):
    table = np.loadtxt(FOLDER / "digits.csv.gz", delimiter=",")
    everything = rows(table[:, :-1] / 16, table[:, -1])
    assert sorted(rows(*data[:2]) + rows(*data[2:])) == everything
    assert len(set(everything)) == 1797  # no image twice, so the parts are disjoint


def test_split_is_the_published_one(data):
    # Accuracies in the documentation are those of this split: another one must not slip in.
    assert data.test_labels[:12].tolist() == [5, 9, 2, 4, 6, 7, 9, 3, 4, 6, 8, 5]
    assert data.test_images.sum(dtype=float) * 16 == 111890


def test_split_is_random_within_a_class(data):
    # The first fifth of each class would be the same few writers.
    table = np.loadtxt(FOLDER / "digits.csv.gz", delimiter=",")
    for digit in range(10):
        members = table[table[:, -1] == digit]
        chosen = data.test_images[data.test_labels == digit] * 16
        assert not np.array_equal(chosen, members[: len(chosen), :-1])


def test_every_call_gives_the_same_split_in_fresh_arrays(data):
    again = load_digits()
    for first, second in zip(data, again, strict=True):
        assert np.array_equal(first, second)
        assert not np.shares_memory(first, second)


def test_file_is_the_one_that_the_readme_describes():
    packed = (FOLDER / "digits.csv.gz").read_bytes()
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    sums = re.findall(r"[0-9a-f]{64}", readme)
    assert sums == [hashlib.sha256(packed).hexdigest(), UNPACKED_SHA256]
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == UNPACKED_SHA256
    assert "CC BY 4.0" in readme
    assert "10.24432/C50P49" in readme


def test_file_was_packed_without_a_time_stamp():
    packed = (FOLDER / "digits.csv.gz").read_bytes()
    assert packed[4:8] == bytes(4)


@pytest.mark.parametrize("damage", ["cut short", "one bit", "another archive", "empty"])
def test_damaged_file_is_refused(tmp_path, monkeypatch, damage):
    packed = (FOLDER / "digits.csv.gz").read_bytes()
    flipped = packed[:1000] + bytes([packed[1000] ^ 1]) + packed[1001:]
    broken = tmp_path / "digits.csv.gz"
    broken.write_bytes(
        {
            "cut short": packed[:-100],
            "one bit": flipped,
            "another archive": gzip.compress(b"0,0,1\n"),
            "empty": b"",
        }[damage]
    )
    monkeypatch.setattr(digits, "_FILE", broken)
    with pytest.raises(tg.InputError, match=r"damaged: expected SHA-256 02633.*got .*Reinstall"):
        load_digits()

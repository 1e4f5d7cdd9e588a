"""The digits data set: 1,797 handwritten digits, small enough to ship with the package."""

import gzip
import hashlib
from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_edu.errors import InputError

_FILE = resources.files("tinygrad_edu.data") / "digits.csv.gz"
_SHA256 = "02633070f0eba52475fb2cfaedcf256826aa2b6c462429e2e6d0826619fc55c9"
_BRIGHTEST = 16  # each pixel counts the ink in a 4 x 4 block of the scan
_TEST_SHARE = 0.2


class Digits(NamedTuple):
    """Images and labels, split once and for all into a training and a test part.

    Attributes:
        train_images: (1438, 64) float32 in [0, 1], the rows of 8 x 8 images one after the other.
        train_labels: (1438,) int64, the digit on each image.
        test_images: (359, 64) float32 in [0, 1].
        test_labels: (359,) int64.
    """

    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]


def load_digits() -> Digits:
    """Load the digits and split them 80/20, at random within each class.

    The split is the same in every call and on every machine, so that accuracies can be compared.
    The arrays are fresh: writing into them changes nothing for the next call.

    Raises:
        InputError: if the data file is not the one that was published.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998),
    doi:10.24432/C50P49, CC BY 4.0; the README beside the file says more.
    """
    table = np.loadtxt(_read_csv(), delimiter=",", dtype=np.int64)
    images = (table[:, :-1] / _BRIGHTEST).astype(np.float32)
    labels = np.ascontiguousarray(table[:, -1])
    test = _choose_test(labels)
    return Digits(images[~test], labels[~test], images[test], labels[test])


def _read_csv() -> list[str]:
    """Read the lines of the data file, which must be byte for byte the published one."""
    packed = _FILE.read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != _SHA256:
        raise InputError(
            f"load_digits: {_FILE} is damaged: expected SHA-256 {_SHA256}, got {found} "
            f"({len(packed):,} bytes). Reinstall tinygrad-edu to get the file back."
        )
    return gzip.decompress(packed).decode("ascii").splitlines()


def _choose_test(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mark a fifth of each class, so that no digit is rarer in one part than in the other."""
    rng = np.random.default_rng(0)
    test = np.zeros(len(labels), dtype=np.bool_)
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(labels == digit))
        test[members[: round(_TEST_SHARE * len(members))]] = True
    return test

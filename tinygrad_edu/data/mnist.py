"""MNIST and Fashion-MNIST: 70,000 small images each, fetched once and kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.idx import read_idx
from tinygrad_edu.errors import AutogradError, InputError


class DownloadError(AutogradError, OSError):
    """Data that are not on this machine, and that could not be fetched."""


class MNIST:
    """Handwritten digits: 60,000 to train with, 10,000 to test, 28 x 28 pixels each.

        mnist = MNIST()
        loader = DataLoader(mnist.train, batch_size=256, shuffle=True, rng=rng)

    Args:
        folder: where the four files are kept, and looked for first; by default
            ~/.cache/tinygrad_edu/mnist.
        base_url: where those that are missing are fetched, which needs the extra `data`.

    Attributes:
        train_images: (60000, 28, 28) float32 in [0, 1], 0 being the background.
        train_labels: (60000,) int64, the class of each image.
        test_images: (10000, 28, 28) float32.
        test_labels: (10000,) int64.
        classes: the names of the ten classes.

    Raises:
        DownloadError: if a file is missing and cannot be fetched: it says where to put it by hand.
        InputError: if a file is not the published one, or does not fit the others.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-Based Learning Applied to Document
    Recognition (1998). The files are fetched from the mirror that torchvision uses. Their MD5 sums
    are in torchvision/datasets/mnist.py; the SHA-256 sums here are of the files with those.
    """

    base_url: ClassVar[str] = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    folder_name: ClassVar[str] = "mnist"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    sha256: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    }

    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]

    def __init__(self, folder: str | Path | None = None, base_url: str | None = None) -> None:
        self._folder = Path(folder) if folder is not None else _cache() / self.folder_name
        self._base_url = (base_url or self.base_url).rstrip("/")
        self.train_images, self.train_labels = self._part("train")
        self.test_images, self.test_labels = self._part("t10k")

    @property
    def train(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Images and labels to train with."""
        return self.train_images, self.train_labels

    @property
    def test(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Images and labels to test with."""
        return self.test_images, self.test_labels

    def _part(self, part: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        images = self._read(f"{part}-images-idx3-ubyte.gz", ndim=3)
        labels = self._read(f"{part}-labels-idx1-ubyte.gz", ndim=1)
        if len(images) != len(labels):
            raise InputError(
                f"{type(self).__name__}: expected a label for each image of {part!r}, got "
                f"{len(images):,} images and {len(labels):,} labels"
            )
        if labels.size and labels.max() >= len(self.classes):
            raise InputError(
                f"{type(self).__name__}: labels of {part!r} must be between 0 and "
                f"{len(self.classes) - 1}, got {labels.max()}"
            )
        return np.divide(images, 255, dtype=np.float32), labels.astype(np.int64)

    def _read(self, name: str, ndim: int) -> npt.NDArray[Any]:
        """The array in one of the files, which must be byte for byte the published one."""
        path = self._folder / name
        if not path.exists():
            self._fetch(name)
        packed = path.read_bytes()
        expected, found = self.sha256[name], hashlib.sha256(packed).hexdigest()
        if found != expected:
            raise InputError(
                f"{type(self).__name__}: {path} is damaged: expected SHA-256 {expected}, got "
                f"{found} ({len(packed):,} bytes). Delete it, and it is fetched again."
            )
        try:
            array = read_idx(packed)
        except InputError as error:
            raise InputError(f"{type(self).__name__}: {path}: {error}") from error
        if array.dtype != np.uint8 or array.ndim != ndim:
            raise InputError(
                f"{type(self).__name__}: {path}: expected {ndim} axes of uint8, got "
                f"{array.ndim} of {array.dtype}"
            )
        return array

    def _fetch(self, name: str) -> None:
        """Download a file; it appears in the folder when it is complete and has been checked."""
        url = f"{self._base_url}/{name}"
        by_hand = f"or put {', '.join(self.sha256)} into {self._folder} by hand"
        try:
            import pooch
        except ImportError as error:
            raise DownloadError(
                f"{type(self).__name__}: {name} is not in {self._folder}, and fetching it needs "
                f"pooch: pip install 'tinygrad-edu[data]', {by_hand}"
            ) from error
        try:
            pooch.retrieve(url, f"sha256:{self.sha256[name]}", fname=name, path=self._folder)
        except (OSError, ValueError) as error:  # no connection; another checksum
            raise DownloadError(
                f"{type(self).__name__}: {url} could not be fetched ({error}); try again, {by_hand}"
            ) from error


class FashionMNIST(MNIST):
    """Pictures of clothes, in place of MNIST's digits and harder to tell apart; see `MNIST`.

    Its default folder is ~/.cache/tinygrad_edu/fashion-mnist.

    Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms (2017), arXiv:1708.07747, MIT licence. Address and MD5 sums are in
    the README of github.com/zalandoresearch/fashion-mnist; the SHA-256 sums here are of the files
    with those.
    """

    # There is no https here: the checksum is what tells that nothing was changed on the way.
    base_url: ClassVar[str] = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    folder_name: ClassVar[str] = "fashion-mnist"
    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    sha256: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        "train-labels-idx1-ubyte.gz": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    }


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_edu"

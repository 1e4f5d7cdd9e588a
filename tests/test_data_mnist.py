"""MNIST and Fashion-MNIST from a server on this machine, with small files that are made here."""

import gzip
import hashlib
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.data import MNIST, DataLoader, DownloadError, FashionMNIST, read_idx, write_idx
from tinygrad_edu.data import mnist as module

RNG = np.random.default_rng(5)
ARRAYS = {
    "train-images-idx3-ubyte.gz": RNG.integers(256, size=(20, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte.gz": RNG.integers(10, size=20, dtype=np.uint8),
    "t10k-images-idx3-ubyte.gz": RNG.integers(256, size=(8, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte.gz": RNG.integers(10, size=8, dtype=np.uint8),
}
IMAGES, LABELS = [*ARRAYS][:2]


class Server:
    """Files, how often each was asked for, and how many bytes of them are really sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.sent: dict[str, int] = {}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            state.asked.append(self.path)
            content = state.files.get(name)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write((content or b"")[: state.sent.get(name)])

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state = Server(f"http://127.0.0.1:{http.server_port}/data")
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def published(folder: Path, **changed: Any) -> tuple[type[MNIST], dict[str, bytes]]:
    """A data set like MNIST whose files are those made here, or `images=`, `labels=` in place."""
    replaced = {IMAGES: changed.get("images"), LABELS: changed.get("labels")}
    contents = {}
    for name, array in ARRAYS.items():
        other = replaced.get(name)
        if isinstance(other, bytes):
            contents[name] = other
        else:
            write_idx(folder / name, array if other is None else other)
            contents[name] = (folder / name).read_bytes()
            (folder / name).unlink()

    class Small(MNIST):
        sha256: ClassVar = {n: hashlib.sha256(c).hexdigest() for n, c in contents.items()}

    return Small, contents


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_fetched_once_and_kept(tmp_path, server):
    Small, server.files = published(tmp_path)
    data = Small(tmp_path / "new" / "folder", server.url)
    assert sorted(server.asked) == sorted(f"/data/{name}" for name in ARRAYS)
    assert names(tmp_path / "new" / "folder") == sorted(ARRAYS)
    again = Small(tmp_path / "new" / "folder", "http://127.0.0.1:1/")  # where nobody answers
    assert len(server.asked) == 4
    assert np.array_equal(data.train_images, again.train_images)


def test_numbers_are_those_of_the_files(tmp_path, server):
    Small, server.files = published(tmp_path)
    data = Small(tmp_path, server.url + "/")
    assert server.asked[0] == f"/data/{IMAGES}"
    parts = [data.train_images, data.train_labels, data.test_images, data.test_labels]
    for part, array in zip(parts, ARRAYS.values(), strict=True):
        scale = 255 if array.ndim == 3 else 1
        assert np.array_equal(np.rint(part * scale), array)
    assert data.train_images.dtype == data.test_images.dtype == np.float32
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert data.train_images.max() <= 1
    assert data.train[0] is data.train_images
    assert data.test[1] is data.test_labels
    assert len(DataLoader(data.train, batch_size=8)) == 3


def test_files_put_there_by_hand_need_no_download(tmp_path, monkeypatch):
    Small, contents = published(tmp_path)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert Small(str(tmp_path)).train_images.shape == (20, 28, 28)


def test_offline_says_where_to_put_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    Small, _ = published(tmp_path)
    with pytest.raises(DownloadError) as error:
        Small(tmp_path, "http://127.0.0.1:1")
    message = str(error.value)
    assert message.startswith(f"Small: http://127.0.0.1:1/{IMAGES} could not be fetched")
    assert f"put {', '.join(ARRAYS)} into {tmp_path} by hand" in message
    assert isinstance(error.value, tg.AutogradError)
    assert isinstance(error.value, OSError)
    assert names(tmp_path) == []


def test_without_pooch_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    Small, _ = published(tmp_path)
    with pytest.raises(DownloadError, match=r"pip install 'tinygrad-edu\[data\]', or put .* by h"):
        Small(tmp_path)


def test_a_file_that_the_server_does_not_have_is_told(tmp_path, server):
    Small, server.files = published(tmp_path)
    del server.files[LABELS]
    with pytest.raises(DownloadError, match=rf"{LABELS} could not be fetched \(404"):
        Small(tmp_path, server.url)
    assert names(tmp_path) == [IMAGES]


def test_two_that_fetch_at_once_both_get_whole_files(tmp_path, server):
    Small, server.files = published(tmp_path)
    found: list[Any] = []
    threads = [Thread(target=lambda: found.append(Small(tmp_path, server.url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [data.train_images.sum() for data in found] == 3 * [found[0].train_images.sum()]
    assert names(tmp_path) == sorted(ARRAYS)


def test_a_folder_that_cannot_be_made_is_told(tmp_path, server):
    Small, server.files = published(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"could not be fetched \(.*Not a directory"):
        Small(tmp_path / "file" / "mnist", server.url)


def test_a_download_that_breaks_off_leaves_no_file(tmp_path, server):
    Small, server.files = published(tmp_path)
    server.sent[IMAGES] = 1000
    with pytest.raises(DownloadError, match=rf"{IMAGES} could not be fetched"):
        Small(tmp_path, server.url)
    assert names(tmp_path) == []
    server.sent.clear()
    assert len(Small(tmp_path, server.url).train_labels) == 20


@pytest.mark.parametrize("damage", ["cut short", "one bit", "a page", "empty"])
def test_a_file_with_another_checksum_is_not_kept(tmp_path, server, damage):
    Small, server.files = published(tmp_path)
    whole = server.files[LABELS]
    server.files[LABELS] = {
        "cut short": whole[:-4],
        "one bit": whole[:20] + bytes([whole[20] ^ 1]) + whole[21:],
        "a page": b"<html>please log in</html>",
        "empty": b"",
    }[damage]
    with pytest.raises(DownloadError, match=r"could not be fetched \(SHA256.*does not match"):
        Small(tmp_path, server.url)
    assert names(tmp_path) == [IMAGES]


def test_a_file_of_the_folder_that_is_damaged_is_neither_used_nor_replaced(tmp_path, server):
    Small, server.files = published(tmp_path)
    Small(tmp_path, server.url)
    half = server.files[IMAGES][:500]
    (tmp_path / IMAGES).write_bytes(half)
    with pytest.raises(tg.InputError, match=r"damaged: expected SHA-256 .*\(500 bytes\). Delete"):
        Small(tmp_path, server.url)
    assert (tmp_path / IMAGES).read_bytes() == half
    (tmp_path / IMAGES).unlink()
    assert len(Small(tmp_path, server.url).train_images) == 20


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": gzip.compress(b"\1\0\x08\3")}, r"train-images.*expected an IDX file"),
        ({"images": gzip.compress(b"\0\0\x08\1\0\0\0\x09abc")}, r"shape \(9,\).*3 bytes follow"),
        ({"images": b"\0\0\x08\1\0\0\0\x01a"}, r"train-images.*3 axes of uint8, got 1 of uint8"),
        ({"labels": np.zeros(20, np.int32)}, r"train-labels.*1 axes of uint8, got 1 of int32"),
        ({"labels": np.zeros(19, np.uint8)}, r"of 'train', got 20 images and 19 labels"),
        ({"labels": np.full(20, 10, np.uint8)}, r"'train' must be between 0 and 9, got 10"),
    ],
)
def test_files_that_do_not_hold_what_they_should_are_refused(tmp_path, server, changed, message):
    Small, server.files = published(tmp_path, **changed)
    with pytest.raises(tg.InputError, match=rf"^Small: .*{message}"):
        Small(tmp_path, server.url)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_all_four_files_have_a_checksum_and_an_address(kind):
    assert [*kind.sha256] == [*ARRAYS]
    assert len({*MNIST.sha256.values(), *FashionMNIST.sha256.values()}) == 8
    assert all(len(bytes.fromhex(total)) == 32 for total in kind.sha256.values())
    assert kind.base_url.startswith("http")
    assert kind.base_url.endswith("/")
    assert len(kind.classes) == 10


def test_the_default_folder_is_one_for_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pooch", None)
    for kind, name in ((MNIST, "mnist"), (FashionMNIST, "fashion-mnist")):
        with pytest.raises(DownloadError, match=str(tmp_path / "tinygrad_edu" / name)):
            kind()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert module._cache() == Path.home() / ".cache" / "tinygrad_edu"


def test_files_without_examples_are_read(tmp_path, server):
    empty = np.zeros((0, 28, 28), np.uint8)
    Small, server.files = published(tmp_path, images=empty, labels=np.zeros(0, np.uint8))
    assert Small(tmp_path, server.url).train_images.shape == (0, 28, 28)
    assert read_idx(tmp_path / LABELS).shape == (0,)

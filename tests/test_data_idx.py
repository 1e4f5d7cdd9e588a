"""IDX files: written and read back, bytes worked out by hand, and damaged ones refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tinygrad_edu.data import files, read_idx, write_idx

# Two images of 2 x 3 pixels, byte by byte as the format's description says.
HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3])
IMAGES = HEADER + bytes(range(12))
DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def test_bytes_are_read_as_the_format_says():
    assert np.array_equal(read_idx(IMAGES), np.arange(12, dtype=np.uint8).reshape(2, 2, 3))


def test_numbers_are_stored_with_the_highest_byte_first():
    content = bytes([0, 0, 11, 1, 0, 0, 0, 2, 1, 2, 255, 255])
    array = read_idx(content)
    assert array.tolist() == [258, -1]
    assert array.dtype == np.int16
    assert array.dtype.isnative


def test_bytes_are_written_as_the_format_says(tmp_path):
    write_idx(tmp_path / "images", np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    assert (tmp_path / "images").read_bytes() == IMAGES


@given(
    hnp.arrays(
        st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    ),
    st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if packed else "a")
    write_idx(path, array)
    assert path.read_bytes().startswith(b"\x1f\x8b" if packed else b"\0\0")
    for back in (read_idx(path), read_idx(str(path)), read_idx(path.read_bytes())):
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert np.array_equal(back, array, equal_nan=array.dtype.kind == "f")


def test_the_other_byte_order_is_written_the_same(tmp_path):
    write_idx(tmp_path / "a", np.array([258, -1], np.dtype(np.int16).newbyteorder()))
    assert read_idx(tmp_path / "a").tolist() == [258, -1]


def test_the_array_is_fresh_and_may_be_written_into():
    array = read_idx(IMAGES)
    array[0] = 9
    assert read_idx(IMAGES)[0, 0, 0] == 0


def test_a_packed_file_has_no_time_stamp(tmp_path):
    write_idx(tmp_path / "a.gz", np.zeros(3, np.uint8))
    assert (tmp_path / "a.gz").read_bytes()[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected an IDX file.*got b''"),
        (b"\0\0\x08", r"expected an IDX file"),
        (b"\1" + IMAGES[1:], r"begins with two zero bytes.*got b'\\x01"),
        (b"\0\0\x0a" + IMAGES[3:], r"code of a dtype \(8, 9, 11, 12, 13, 14\)"),
        (b"<html>not found</html>", r"expected an IDX file.*got b'<htm'"),
        (HEADER[:10], r"ends within its header, after 10 of 16 bytes"),
        (IMAGES[:-1], r"shape \(2, 2, 3\), which is 12 bytes of uint8, but 11 bytes follow"),
        (IMAGES + b"\0", r"but 13 bytes follow"),
        (HEADER, r"but 0 bytes follow"),
        (bytes([0, 0, 8, 255]) + bytes(4 * 255), r"cannot hold the shape"),
        (gzip.compress(IMAGES)[:-9], r"damaged gzip file"),
        (gzip.compress(IMAGES)[:12] + b"\xff\xff" + gzip.compress(IMAGES)[14:], r"damaged gzip"),
        (gzip.compress(IMAGES[:-1]), r"but 11 bytes follow"),
        (b"\x1f\x8b", r"damaged gzip file"),
        (gzip.compress(IMAGES) + b"more", r"damaged gzip file"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"ab", r"79,228,162,.* bytes of uint8, but 2 bytes"),
    ],
)
def test_what_is_no_whole_idx_file_is_refused(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(tg.InputError, match=rf"^read_idx: .*{message}"):
        read_idx(content)
    with pytest.raises(tg.InputError, match=rf"x: .*{message}"):
        read_idx(tmp_path / "x")


@given(st.binary(max_size=40))
def test_any_bytes_are_an_array_or_an_input_error(content):
    try:
        array = read_idx(content)
    except tg.InputError:
        return
    assert 4 + 4 * array.ndim + array.nbytes == len(content)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_of_a_packed_file_never_gives_other_numbers(place, bit):
    content = bytearray(gzip.compress(IMAGES, mtime=0))
    content[place % len(content)] ^= 1 << bit
    try:
        array = read_idx(bytes(content))
    except tg.InputError:
        return
    assert np.array_equal(array, read_idx(IMAGES))  # what was hit is a field that says nothing


def test_a_dtype_that_the_format_lacks_is_refused(tmp_path):
    with pytest.raises(tg.DtypeError, match=r"write_idx: expected one of uint8.*got int64.*astype"):
        write_idx(tmp_path / "a", np.arange(3))
    assert not [*tmp_path.iterdir()]


def test_an_axis_that_the_header_cannot_hold_is_refused(tmp_path):
    with pytest.raises(tg.InputError, match=r"shorter than 2\*\*32, got shape \(4294967296,\)"):
        write_idx(tmp_path / "a", np.broadcast_to(np.uint8(0), 2**32))


def test_a_disk_that_is_full_leaves_the_file_before(tmp_path, monkeypatch):
    path, write = tmp_path / "a", Path.write_bytes

    def fail(self: Path, content: bytes) -> None:
        write(self, content[:3])
        raise OSError("disk full")

    write_idx(path, np.zeros(2, np.uint8))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(Path, "write_bytes", fail)
        write_idx(path, np.ones(9, np.uint8))
    assert read_idx(path).tolist() == [0, 0]
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"before")

    def save(unfinished: Path) -> None:
        assert unfinished.parent == tmp_path
        assert unfinished.name.endswith("a")
        unfinished.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_aside(path, save)
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]
    files.write_aside(str(path), lambda unfinished: unfinished.write_bytes(b"after"))
    assert path.read_bytes() == b"after"
    assert [*tmp_path.iterdir()] == [path]

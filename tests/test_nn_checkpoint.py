"""Files of weights: what is written is read, and nothing is lost or run on the way."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tinygrad_edu import nn


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def network(seed: int = 0) -> nn.Sequential:
    generator = rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=generator),
        nn.BatchNorm2d(2),
        nn.Flatten(),
        nn.Dropout(0.5, rng=generator),
        nn.Linear(8, 3, rng=generator),
    )


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b) or (a != a and b != b)


# -- what is written is read -----------------------------------------------------------------------


def test_a_model_is_stored_under_its_own_names(tmp_path: Path) -> None:
    net = network()
    nn.save(net, tmp_path / "net.safetensors")
    file = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    assert set(file) == set(net.state_dict())
    other = network(1)
    other.load_state_dict(nn.load(tmp_path / "net.safetensors"))
    assert same(other.state_dict(), net.state_dict())


FOREIGN: list[tuple[Any, dict[str, Any]]] = [
    (lambda: nn.Linear(3, 2, rng=rng()), {"weight": (2, 3), "bias": (2,)}),
    (lambda: nn.Conv2d(2, 4, 3, rng=rng()), {"weight": (4, 2, 3, 3), "bias": (4,)}),
    (lambda: nn.Embedding(5, 3, rng=rng()), {"weight": (5, 3)}),
    (lambda: nn.BatchNorm2d(3, dtype="f4"),
     {"weight": (3,), "bias": (3,), "running_mean": (3,), "running_var": (3,),
      "num_batches_tracked": ()}),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shapes"), FOREIGN)
def test_weights_of_another_library_load_by_the_same_names(
    make: Any, shapes: dict[str, Any], tmp_path: Path
) -> None:
    foreign = {
        name: np.asarray(rng().normal(size=shape), "f4") if name != "num_batches_tracked"
        else np.array(12, np.int64)
        for name, shape in shapes.items()
    }  # fmt: skip
    safetensors.numpy.save_file(foreign, tmp_path / "w.safetensors", {"format": "pt"})
    layer = make()
    layer.load_state_dict(nn.load(tmp_path / "w.safetensors"))
    for name, array in layer.state_dict().items():
        assert np.array_equal(array, foreign[name])


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, min_side=0),
    ),
    st.floats().map(np.float64),
)
states = st.dictionaries(
    st.text("abc", min_size=1, max_size=2) | st.integers(0, 9),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.text("xyz", min_size=1, max_size=2) | st.integers(0, 9), inner,
                          max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)  # fmt: skip


@given(states)
def test_any_nested_state_comes_back_bit_for_bit(state: Any) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"nested.{os.getpid()}.safetensors"
    try:
        try:
            nn.save(state, path)
        except tg.InputError as error:  # {1: x, "1": y}
            assert "a name of its own for each array" in str(error)
            return
        assert same(nn.load(path), state)
    finally:
        path.unlink(missing_ok=True)


def test_fortran_order_big_endian_and_tensors_keep_their_numbers(tmp_path: Path) -> None:
    array = rng().normal(size=(3, 4))
    state = {"f": np.asfortranarray(array), "big": array.astype(">f8"), "t": tg.Tensor(array.T)}
    nn.save(state, tmp_path / "a")
    loaded = nn.load(tmp_path / "a")
    assert np.array_equal(loaded["f"], array)
    assert np.array_equal(loaded["big"], array)
    assert np.array_equal(loaded["t"], array.T)


def test_a_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox):
        generator = np.random.Generator(kind(5))
        generator.normal(size=7)
        nn.save({"rng": generator}, tmp_path / "a")
        expected = generator.normal(size=9)
        again = np.random.Generator(kind(0))
        again.bit_generator.state = nn.load(tmp_path / "a")["rng"]
        assert np.array_equal(again.normal(size=9), expected)


# -- training that goes on -------------------------------------------------------------------------


def train(net: nn.Module, optimizer: Any, generator: np.random.Generator, steps: int) -> None:
    images, labels = rng(7).normal(size=(20, 1, 4, 4)), rng(8).integers(0, 3, 20)
    for _ in range(steps):
        chosen = generator.permutation(20)[:8]
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(net(images[chosen]), labels[chosen]).backward()
        optimizer.step()


def everything(net: nn.Module, optimizer: Any) -> Any:
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict()}


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_resumed_training_is_bit_equal_to_training_that_never_stopped(
    kind: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"lr": 0.1, **({"momentum": 0.9} if kind == "SGD" else {})}
    net, generator = network(), rng(1)
    optimizer = getattr(tg.optim, kind)(net.parameters(), **options)
    train(net, optimizer, generator, 4)
    nn.save_checkpoint(tmp_path / "run", net, optimizer, rng=generator, epoch=4, lr=0.1)
    train(net, optimizer, generator, 5)

    other, generator = network(99), rng(99)
    again = getattr(tg.optim, kind)(other.parameters(), **options)
    more = nn.load_checkpoint(tmp_path / "run", other, again, rng=generator)
    assert more == {"epoch": 4, "lr": 0.1}
    train(other, again, generator, 5)
    assert same(everything(other, again), everything(net, optimizer))


class Refuses:
    def state_dict(self) -> Any:
        return {"x": 1}

    def load_state_dict(self, state: Any) -> None:
        raise tg.InputError("of another optimiser")


def test_a_checkpoint_that_the_optimizer_refuses_leaves_the_model_alone(tmp_path: Path) -> None:
    nn.save_checkpoint(tmp_path / "run", network(), Refuses(), rng=rng())
    net, generator = network(1), rng(3)
    before, state = net.state_dict(), generator.bit_generator.state
    with pytest.raises(tg.InputError, match="of another optimiser"):
        nn.load_checkpoint(tmp_path / "run", net, Refuses(), rng=generator)
    assert same(net.state_dict(), before)
    assert generator.bit_generator.state == state


def test_a_checkpoint_of_another_model_overwrites_nothing(tmp_path: Path) -> None:
    nn.save_checkpoint(tmp_path / "run", nn.Linear(3, 2, rng=rng()))
    net = nn.Linear(3, 4, rng=rng(1))
    before = net.state_dict()
    with pytest.raises(tg.InputError, match=r"weight: expected shape \(4, 3\), got \(2, 3\)"):
        nn.load_checkpoint(tmp_path / "run", net)
    assert same(net.state_dict(), before)


def test_a_checkpoint_without_what_is_asked_for_is_refused(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2, rng=rng())
    nn.save_checkpoint(tmp_path / "run", layer)
    with pytest.raises(tg.InputError, match="expected the state of rng"):
        nn.load_checkpoint(tmp_path / "run", layer, rng=rng())
    with pytest.raises(tg.InputError, match="expected the state of optimizer"):
        nn.load_checkpoint(tmp_path / "run", layer, Refuses())
    with pytest.raises(tg.InputError, match=r"expected the state of 3\.rng, got that of none"):
        nn.load_checkpoint(tmp_path / "run", network())


def test_a_generator_of_another_kind_is_refused(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2, rng=rng())
    nn.save_checkpoint(tmp_path / "run", layer, rng=rng())
    other = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(tg.InputError, match="rng: expected MT19937's state, got PCG64's"):
        nn.load_checkpoint(tmp_path / "run", layer, rng=other)


def test_a_file_of_weights_is_no_checkpoint_and_says_what_reads_it(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2, rng=rng())
    nn.save(layer, tmp_path / "w")
    with pytest.raises(tg.InputError, match=r"got .* with .*load_state_dict\(nn\.load\(path\)\)"):
        nn.load_checkpoint(tmp_path / "w", layer)


class Reader(nn.Module):
    """Embedding, normalisation, noise, recurrence: all that has a state of its own, in float32."""

    def __init__(self, generator: np.random.Generator) -> None:
        super().__init__()
        self.rng = generator  # an attribute of the same name as that which shuffles
        options: dict[str, Any] = {"rng": generator, "dtype": np.float32}
        self.words = nn.Embedding(20, 6, **options)
        self.norm = nn.LayerNorm(6, dtype=np.float32)
        self.noise = nn.Dropout(0.3, rng=rng(5))
        self.cell = nn.GRU(6, 5, **options)
        self.out = nn.Linear(5, 3, **options)

    def forward(self, x: Any) -> Any:
        states, _ = self.cell(np.transpose(self.noise(self.norm(self.words(x))), (1, 0, 2)))
        return self.out(states[-1])


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: tg.optim.SGD(ps, lr=0.3, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda ps: tg.optim.RMSprop(ps, lr=0.001, momentum=0.5, centered=True),
        lambda ps: tg.optim.Adam(ps, lr=0.01),
        lambda ps: tg.optim.AdamW(ps, lr=0.01),
    ],
    ids=["SGD", "RMSprop", "Adam", "AdamW"],
)
def test_fit_resumed_with_schedule_history_and_early_stop_is_bit_equal(
    make: Any, tmp_path: Path
) -> None:
    x, y = rng(7).integers(0, 20, (30, 4)), rng(8).integers(0, 3, 30)

    class Run:
        def __init__(self, seed: int) -> None:
            self.rng = rng(seed)
            self.net = Reader(rng(seed + 1))
            self.optimizer = make(self.net.parameters())
            self.schedule = tg.optim.LinearWarmup(self.optimizer, 5, then=tg.optim.cosine(60))
            self.history = nn.History()

        def fit(self, epochs: int) -> None:
            nn.fit(
                self.net, tg.data.DataLoader((x, y), 8, shuffle=True, rng=self.rng),
                tg.cross_entropy, self.optimizer, epochs,
                test=tg.data.DataLoader((x[:9], y[:9]), 4), schedule=self.schedule,
                schedule_each="batch", clip_norm=1.0, progress=False, stop=3, history=self.history,
            )  # fmt: skip

    straight, path = Run(1), tmp_path / "run"
    straight.fit(2)
    nn.save_checkpoint(
        path, straight.net, straight.optimizer, rng=straight.rng, schedule=straight.schedule,
        history=straight.history,
    )  # fmt: skip
    straight.fit(3)
    resumed = Run(50)
    resumed.fit(1)
    more = nn.load_checkpoint(path, resumed.net, resumed.optimizer, rng=resumed.rng)
    resumed.schedule.load_state_dict(more["schedule"])
    resumed.history = nn.History(nn.Epoch(*epoch) for epoch in more["history"])
    resumed.fit(3)
    assert same(*(everything(run.net, run.optimizer) for run in (resumed, straight)))
    numbers = [[epoch[:5] for epoch in run.history] for run in (resumed, straight)]
    assert numbers[0] == numbers[1]
    assert resumed.net.rng is not resumed.rng


# -- files that are not right ----------------------------------------------------------------------


def test_no_flipped_bit_is_taken_for_a_number(tmp_path: Path) -> None:
    net, generator = nn.Sequential(nn.Linear(2, 1, rng=rng()), nn.Dropout(rng=rng(1))), rng(2)
    optimizer = tg.optim.Adam(net.parameters(), lr=0.1)
    nn.save_checkpoint(tmp_path / "run", net, optimizer, rng=generator, epoch=3)
    data, before = (tmp_path / "run").read_bytes(), everything(net, optimizer)
    stream = generator.bit_generator.state
    for place in range(0, len(data), 11):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "run").write_bytes(damaged)
        # Where the name of the checksum was hit, nothing is compared; the numbers are right then.
        with contextlib.suppress(tg.AutogradError):
            nn.load_checkpoint(tmp_path / "run", net, optimizer, rng=generator)
        assert same(everything(net, optimizer), before)
        assert generator.bit_generator.state == stream


def test_damaged_numbers_are_told(tmp_path: Path) -> None:
    nn.save({"a": np.arange(3.0)}, tmp_path / "w")
    data = bytearray((tmp_path / "w").read_bytes())
    data[-1] ^= 1
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(tg.InputError, match=r"w .* its numbers are not those that were saved"):
        nn.load(tmp_path / "w")


@pytest.mark.parametrize("part", ["optimizer", "rng", "generators", "more"])
def test_a_file_that_lacks_a_part_of_a_checkpoint_changes_nothing(
    part: str, tmp_path: Path
) -> None:
    nn.save_checkpoint(tmp_path / "run", nn.Linear(3, 2, rng=rng()))
    state = nn.load(tmp_path / "run")
    del state[part]
    nn.save(state, tmp_path / "run")
    net = nn.Linear(3, 2, rng=rng(1))
    before = net.state_dict()
    with pytest.raises(tg.InputError, match=r"expected a file of nn\.save_checkpoint"):
        nn.load_checkpoint(tmp_path / "run", net)
    assert same(net.state_dict(), before)


def test_half_a_generator_changes_nothing(tmp_path: Path) -> None:
    net, generator = nn.Linear(3, 2, rng=rng()), rng()
    nn.save_checkpoint(tmp_path / "run", net, rng=generator)
    state = nn.load(tmp_path / "run")
    del state["rng"]["state"]
    nn.save(state, tmp_path / "run")
    other = nn.Linear(3, 2, rng=rng(1))
    before = other.state_dict()
    with pytest.raises(tg.InputError, match="rng: expected PCG64's state"):
        nn.load_checkpoint(tmp_path / "run", other, rng=generator)
    assert same(other.state_dict(), before)


def test_a_link_stays_one_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "run")
    nn.save({"a": np.ones(1)}, tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink()
    assert same(nn.load(tmp_path / "run"), {"a": np.ones(1)})


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    nn.save({"a": np.ones(1)}, tmp_path / "runs" / "first" / "w")
    assert same(nn.load(tmp_path / "runs" / "first" / "w"), {"a": np.ones(1)})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: nn.save(path, {}), r"nn\.save: expected a Module or a dict.*Path"),
        (lambda path: nn.save(np.ones(2), path), "got ndarray"),
        (lambda path: nn.save_checkpoint(path, {}), r"Module for model, got dict: .*\(path, model"),
        (lambda path: nn.load_checkpoint(path, {}), r"nn\.load_checkpoint: expected a Module"),
        (lambda path: nn.save_checkpoint(path, network(), rng=0), "expected a Generator .* int"),
    ],
)
def test_what_is_no_model_or_generator_is_refused(call: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(tg.DtypeError, match=message):
        call(tmp_path / "w")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    nn.save(network(), tmp_path / "w")
    data = (tmp_path / "w").read_bytes()
    (tmp_path / "w").write_bytes(data[: int(share * len(data))])
    with pytest.raises(tg.InputError, match=r"nn\.load: .*w .* is no whole safetensors file"):
        nn.load(tmp_path / "w")


@pytest.mark.parametrize(
    "data", [b"hello", b"\xff" * 100, b"\x05" + b"\x00" * 7 + b"[1,2]", b"{}", b"\x02" + b"\0" * 99]
)
def test_a_foreign_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(tg.InputError, match="is no whole safetensors file"):
        nn.load(tmp_path / "w")


class Runs:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was run",)


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"weight": Runs()}))
    with pytest.raises(tg.InputError, match=r"is a pickle.*expected a safetensors file"):
        nn.load(tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as file:
        file.writestr("data.pkl", pickle.dumps(Runs()))
    with pytest.raises(tg.InputError, match="is a pickle"):
        nn.load(tmp_path / "w.pt")


def test_numbers_that_numpy_lacks_are_named(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(tg.DtypeError, match=r"w: expected real numbers as NumPy has, got BF16"):
        nn.load(tmp_path / "w")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({"a": {"b": object()}}, tg.DtypeError, r"a\.b: expected arrays, .* got object"),
        ({"a": np.array(["x"])}, tg.DtypeError, "a: expected real numbers, got dtype <U1"),
        ({"a": np.array(1j)}, tg.DtypeError, "a: expected real numbers, got dtype complex128"),
        ({1.5: np.ones(1)}, tg.DtypeError, r"expected keys to be texts or integers, got 1\.5"),
        ({"a": {"b.c": np.ones(1)}, "a.b": {"c": np.ones(1)}}, tg.InputError, r"'a\.b\.c' twice"),
        ({"": np.ones(1)}, tg.InputError, "a name of its own for each array, got ''"),
        ({"__metadata__": np.ones(1)}, tg.InputError, "for each array, got '__metadata__'"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_the_old_file_stays(
    state: Any, error: Any, message: str, tmp_path: Path
) -> None:
    nn.save({"old": np.ones(2)}, tmp_path / "w")
    with pytest.raises(error, match=message):
        nn.save(state, tmp_path / "w")
    assert same(nn.load(tmp_path / "w"), {"old": np.ones(2)})


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nn.save({"old": np.ones(2)}, tmp_path / "w")

    def full(fd: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        nn.save({"new": np.ones(2)}, tmp_path / "w")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    assert same(nn.load(tmp_path / "w"), {"old": np.ones(2)})


def test_without_safetensors_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-edu\[weights\]'"):
        nn.save({"a": np.ones(1)}, tmp_path / "w")

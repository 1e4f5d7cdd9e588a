"""Module: what is found in it, what can be done to it, and its state."""

from __future__ import annotations

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
import viz
from tinygrad_edu import nn


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class Scale(nn.Module):
    """A module of one's own, without super().__init__()."""

    def __init__(self, size: int) -> None:
        self.factor = nn.Parameter(np.ones(size))
        self.seen = nn.Buffer(np.zeros((), np.int64))

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [Scale(2), Scale(3)]
        self.heads = {"left": Scale(4), "right": (Scale(5), nn.Parameter([1.0]))}
        self.own = nn.Parameter(np.zeros(6))
        self.none = None

    def forward(self, x: Any) -> Any:
        return self.blocks[0](x)


NESTED = [
    "blocks.0.factor",
    "blocks.1.factor",
    "heads.left.factor",
    "heads.right.0.factor",
    "heads.right.1",
    "own",
]


# -- what is in it ---------------------------------------------------------------------------------


def test_a_list_inside_itself_is_refused() -> None:
    module, endless = nn.Module(), [nn.Identity()]
    endless.append(endless)  # type: ignore[arg-type]
    with pytest.raises(tg.InputError, match=r"parts: .* got a list inside itself"):
        module.parts = endless


def test_keys_that_are_one_path_are_refused() -> None:
    module = nn.Module()
    with pytest.raises(tg.InputError, match="d: expected keys that differ as text, got 1"):
        module.d = {1: nn.Identity(), "1": nn.Identity()}


def test_parameters_are_found_in_attributes_lists_tuples_and_dicts() -> None:
    assert [path for path, _ in Nested().named_parameters()] == NESTED
    assert [p.size for p in Nested().parameters()] == [2, 3, 4, 5, 1, 6]


def test_modules_are_found_with_their_paths() -> None:
    paths = [path for path, _ in Nested().named_modules()]
    assert paths == ["", "blocks.0", "blocks.1", "heads.left", "heads.right.0"]
    assert [path for path, _ in Nested().named_children()] == paths[1:]


def test_a_prefix_is_put_before_every_path() -> None:
    assert [path for path, _ in Nested().named_parameters("net")] == [f"net.{p}" for p in NESTED]


def test_a_shared_parameter_comes_once_but_is_saved_under_both_paths() -> None:
    net = nn.Sequential(Scale(2), Scale(2))
    net[1].factor = net[0].factor
    assert [path for path, _ in net.named_parameters()] == ["0.factor"]
    assert {"0.factor", "1.factor"} <= net.state_dict().keys()


def test_a_shared_module_comes_once() -> None:
    layer = Scale(2)
    net = nn.Sequential(layer, layer)
    assert len(list(net.modules())) == 2
    assert len(list(net.parameters())) == 1


def test_buffers_are_state_but_not_parameters() -> None:
    net = Scale(2)
    assert [path for path, _ in net.named_buffers()] == ["seen"]
    assert [path for path, _ in net.named_parameters()] == ["factor"]
    assert list(net.state_dict()) == ["factor", "seen"]


def test_a_plain_tensor_that_a_module_keeps_is_no_state() -> None:
    net = Scale(2)
    net.last = net(np.ones(2))
    net.constant = tg.Tensor([1.0])
    assert list(net.state_dict()) == ["factor", "seen"]


def test_modules_appended_to_a_list_are_found() -> None:
    net = Nested()
    net.blocks.append(Scale(7))
    assert "blocks.2.factor" in dict(net.named_parameters())


def test_a_frozen_parameter_stays_a_parameter() -> None:
    net = Nested().requires_grad_(False)
    assert [path for path, _ in net.named_parameters()] == NESTED
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    assert all(p.requires_grad for p in net.parameters())


# -- what is refused -------------------------------------------------------------------------------


def test_a_tensor_that_no_optimiser_would_find_is_refused() -> None:
    with pytest.raises(tg.InputError, match=r"Scale\.extra: expected an nn\.Parameter"):
        Scale(2).extra = tg.Tensor([1.0], requires_grad=True)


def test_a_parameter_is_not_lost_by_assigning_a_result_to_it() -> None:
    net = Scale(2)
    with pytest.raises(tg.DtypeError, match=r"Scale\.factor: expected a Parameter.*factor\.data"):
        net.factor = net.factor - 0.1
    assert isinstance(net.factor, nn.Parameter)
    net.factor = nn.Parameter(np.zeros(2))
    net.factor = None
    assert not list(net.parameters())


def test_a_module_cannot_be_inside_itself() -> None:
    child = Scale(2)
    net = nn.Sequential(child)
    with pytest.raises(tg.InputError, match=r"Scale\.parent: a module cannot be inside itself"):
        child.parent = net


def test_a_module_that_was_appended_to_a_list_of_its_own_is_found_out() -> None:
    net = Nested()
    net.blocks.append(net)  # type: ignore[arg-type]
    for look in (net.state_dict, lambda: list(net.parameters()), lambda: repr(net)):
        with pytest.raises(tg.InputError, match=r"blocks\.2: a module cannot be inside itself"):
            look()


def test_a_module_may_be_in_several_places() -> None:
    shared = Scale(2)
    net = nn.Sequential(nn.Sequential(shared), shared)
    assert list(net.state_dict()) == ["0.0.factor", "0.0.seen", "1.factor", "1.seen"]


@pytest.mark.parametrize("name", ["a.b", ""])
def test_a_name_that_would_mix_up_paths_is_refused(name: str) -> None:
    with pytest.raises(tg.InputError, match=r"Scale\..*: expected a name without '\.', got"):
        setattr(Scale(2), name, nn.Parameter([1.0]))
    setattr(Scale(2), name, 3)


def test_parameters_in_a_set_are_refused() -> None:
    with pytest.raises(tg.InputError, match="parts: expected a list, got a set"):
        Scale(2).parts = {Scale(1), Scale(2)}
    Scale(2).words = {"a", "b"}


def test_a_part_that_belongs_to_the_class_is_refused() -> None:
    with pytest.raises(tg.InputError, match=r"Wrong\.part: an attribute of the class .*__init__"):

        class Wrong(nn.Module):
            part = nn.ReLU()


def test_a_dict_key_with_a_dot_is_refused() -> None:
    net = Scale(2)
    with pytest.raises(tg.InputError, match=r"parts: expected keys without '\.', got 'a\.b'"):
        net.parts = {"a.b": [Scale(2)]}
    net.settings = {"a.b": 1, "c": {"d.e": [2, 3]}}


def test_train_switches_and_does_not_train() -> None:
    with pytest.raises(tg.DtypeError, match=r"expected True or False, got list; .*nn\.fit"):
        Scale(2).train([])  # type: ignore[arg-type]


def test_forward_has_to_be_written() -> None:
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty: write its method forward"):
        Empty()(1)


# -- what can be done to all of it -----------------------------------------------------------------


def test_train_and_eval_reach_every_module() -> None:
    net = Nested()
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())


def test_apply_calls_the_innermost_modules_first_and_in_order() -> None:
    seen: list[str] = []
    net = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sigmoid())
    shared = net[0][0]
    net.append(shared)
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["ReLU", "Tanh", "Sequential", "Sigmoid", "Sequential"]


def test_zero_grad_forgets_every_gradient() -> None:
    net = Scale(2)
    np.sum(net(np.ones(2))).backward()
    assert net.factor.grad is not None
    net.zero_grad()
    assert net.factor.grad is None


# -- state -----------------------------------------------------------------------------------------


def test_state_is_a_copy() -> None:
    net = Scale(2)
    state = net.state_dict()
    state["factor"][:] = 7
    assert net.factor.data.tolist() == [1, 1]


def test_what_was_saved_is_loaded() -> None:
    one, other = Nested(), Nested()
    for i, p in enumerate(one.parameters()):
        p.data = np.full(p.shape, float(i))
    one.blocks[0].seen.data = np.array(5)
    assert not any(other.load_state_dict(one.state_dict()))
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert np.array_equal(a, b)


def test_floats_of_another_precision_are_converted() -> None:
    net = nn.Linear(2, 3, rng=rng(), dtype=np.float32)
    net.load_state_dict(nn.Linear(2, 3, rng=rng()).state_dict())
    assert net.weight.dtype == np.float32


GOOD = {"factor": np.full(2, 3.0), "seen": np.array(9)}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"factor": None}, tg.InputError, "this Scale; missing: factor; build the model"),
        ({"extra": np.ones(1)}, tg.InputError, "unexpected: extra"),
        ({3: np.ones(1)}, tg.InputError, "unexpected: 3"),
        ({"factor": np.ones(3)}, tg.InputError, r"factor: expected shape \(2,\), got \(3,\)"),
        ({"factor": np.ones((1, 2))}, tg.InputError, r"expected shape \(2,\), got \(1, 2\)"),
        ({"factor": np.ones(2, int)}, tg.DtypeError, "factor: expected dtype float64, got int64"),
        ({"seen": np.array(0.5)}, tg.DtypeError, "seen: expected dtype int64, got float64"),
        ({"seen": np.array("x")}, tg.DtypeError, "seen: expected dtype int64, got <U1"),
        ({"seen": np.array(2**63, np.uint64)}, tg.InputError, "seen: expected numbers that int64"),
    ],
)
def test_a_state_that_does_not_fit_overwrites_nothing(
    change: dict[str, Any], error: Any, message: str
) -> None:
    net = Scale(2)
    state = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(error, match=message):
        net.load_state_dict(state)
    assert net.factor.data.tolist() == [1, 1]
    assert net.seen.item() == 0


def test_of_many_missing_paths_a_few_are_named() -> None:
    net = nn.MLP([2] * 6, rng=rng())
    with pytest.raises(tg.InputError, match=r"missing: 0\.weight, .*, 4\.weight and 5 more; unexp"):
        net.load_state_dict({"w": np.ones(2)})


def test_numbers_too_large_for_the_dtype_are_refused() -> None:
    net = nn.LayerNorm(2, dtype=np.float32)
    with pytest.raises(tg.InputError, match="weight: expected numbers that float32 can hold"):
        net.load_state_dict({"weight": np.full(2, 1e300), "bias": np.zeros(2)})
    net.load_state_dict({"weight": np.array([np.inf, np.nan]), "bias": np.zeros(2)})


def test_a_state_that_is_none_is_refused() -> None:
    with pytest.raises(tg.DtypeError, match="expected a dict from path to array, got Scale"):
        Scale(2).load_state_dict(Scale(2))  # type: ignore[arg-type]


def test_not_strict_loads_what_fits_and_tells_the_rest() -> None:
    net = Scale(2)
    mismatch = net.load_state_dict({"factor": np.zeros(2), "other": np.ones(1)}, strict=False)
    assert mismatch == (["seen"], ["other"])
    assert mismatch.missing_keys == ["seen"]
    assert net.factor.data.tolist() == [0, 0]


def test_not_strict_still_refuses_wrong_shapes() -> None:
    with pytest.raises(tg.InputError, match="expected shape"):
        Scale(2).load_state_dict({"factor": np.zeros(3)}, strict=False)


def test_two_numbers_for_a_shared_parameter_are_refused() -> None:
    net = nn.Sequential(Scale(2), Scale(2))
    net[1].factor = net[0].factor
    state = net.state_dict()
    state["1.factor"] = np.full(2, 2.0)
    with pytest.raises(tg.InputError, match=r"0\.factor and 1\.factor are one|1\.factor and 0\."):
        net.load_state_dict(state)
    assert net[0].factor.data.tolist() == [1, 1]


def test_loading_between_forward_and_backward_leaves_the_gradient_right() -> None:
    net = nn.Linear(2, 1, bias=False, rng=rng())
    x = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    before = net.weight.data.copy()
    out = np.sum(net(x))
    net.load_state_dict({"weight": np.zeros((1, 2))})
    out.backward()
    assert np.array_equal(x.grad, before)


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_equal_and_independent(copied: Any) -> None:
    net = nn.Sequential(nn.Linear(3, 4, rng=rng()), nn.BatchNorm1d(4), nn.Dropout(0.5, rng=rng()))
    net.append(net[0])  # shared
    x = np.random.default_rng(1).normal(size=(5, 3))
    first = net[:2](x)
    other = copied(net)
    assert other[3] is other[0]
    assert [type(p) for p in other.parameters()] == [nn.Parameter] * 4
    assert [type(p) for p in other.buffers()] == [nn.Buffer] * 3
    assert [p.name for p in other.parameters()] == ["weight", "bias", "weight", "bias"]
    assert repr(other) == repr(net)
    for path, array in net.state_dict().items():
        assert np.array_equal(array, other.state_dict()[path])
    other[0].weight.data += 1
    assert np.array_equal(net[:2].eval()(x).data, net[:2].eval()(x).data)
    assert np.array_equal(net.train()[:2](x).data, first.data)


def test_a_copy_keeps_what_is_frozen() -> None:
    net = Scale(2).requires_grad_(False)
    assert not copy.deepcopy(net).factor.requires_grad


# -- pictures and text -----------------------------------------------------------------------------


def scopes(t: Any) -> set[str]:
    found, todo = set(), [t]
    while todo:
        node = todo.pop()
        if getattr(node, "node", None) is not None:
            found.add(node._meta["scope"][0])
            todo.extend(x for x in node.node.inputs if isinstance(x, tg.Tensor))
    return found


def test_calling_a_module_names_its_part_of_the_graph() -> None:
    net = nn.Sequential(nn.Linear(2, 3, rng=rng()), nn.Sequential(nn.Linear(3, 1, rng=rng())))
    assert scopes(net(np.ones((1, 2)))) == {"Sequential/0", "Sequential/1/0"}


class Fails(nn.Module):
    def forward(self, x: Any) -> Any:
        raise ValueError("no reason")


def test_an_error_says_where_in_the_network_it_was_raised() -> None:
    net = nn.Sequential(nn.ReLU(), nn.Sequential(Fails()))
    with pytest.raises(ValueError, match="no reason") as caught:
        net(np.ones(2))
    assert caught.value.__notes__ == ["in Fails (Sequential/1/0)"]
    net = nn.Sequential(nn.Conv2d(1, 1, 5, rng=rng()))
    with pytest.raises(tg.InputError, match="conv2d: expected a kernel that fits") as wrong:
        net(np.ones((1, 4, 4)))
    assert wrong.value.__notes__ == ["in Conv2d (Sequential/0)"]


def test_an_error_that_names_the_layer_is_left_as_it_is() -> None:
    with pytest.raises(tg.InputError, match=r"^Linear: ") as caught:
        nn.Linear(2, 3, rng=rng())(np.ones(3))
    assert not hasattr(caught.value, "__notes__")


def test_an_error_in_forward_closes_the_scope() -> None:
    net = nn.Sequential(nn.Sequential(Fails()))
    with pytest.raises(ValueError, match="no reason"):
        net(np.ones(2))
    with tg.scope("after"):
        out = np.tanh(tg.Tensor([1.0], requires_grad=True))
    assert scopes(out) == {"after"}


def test_a_module_works_in_several_threads() -> None:
    net = nn.MLP([2, 8, 1], rng=rng())
    x = rng().normal(size=(4, 2))
    expected = copy.deepcopy(net)(x).data
    with ThreadPoolExecutor(4) as pool:
        outs = list(pool.map(lambda _: net(x), range(40)))
    for out in outs:
        assert np.array_equal(out.data, expected)
        assert scopes(out) == {"MLP/0", "MLP/1", "MLP/2"}


def test_evaluation_without_recording_records_nothing() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1, rng=rng())).eval()
    x = np.ones((3, 2))
    with tg.no_grad():
        out = net(x)
    assert not out.requires_grad
    assert np.array_equal(out.data, net(x).data)


def test_modules_appended_to_a_list_have_their_own_scopes() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            self.layers: list[Any] = []
            for _ in range(2):
                self.layers.append(nn.Linear(2, 2, rng=rng()))

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            return x

    assert scopes(Deep()(np.ones((1, 2)))) == {"Deep/layers.0", "Deep/layers.1"}


def test_parameters_are_called_after_their_attribute() -> None:
    net = Nested()
    assert net.own.name == "own"
    assert net.blocks[0].factor.name == "factor"
    net.named = nn.Parameter([1.0], name="mine")
    assert net.named.name == "mine"


def test_a_picture_shows_modules_and_the_names_of_their_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=rng()), nn.Tanh(), nn.Linear(3, 1, rng=rng()))
    x = tg.Tensor(np.ones((1, 2)))
    picture = viz.draw(model(x), names={"model": model, "x": x}).svg
    for text in ("Sequential", "model.0.weight", "model.2.bias"):
        assert text in picture


def test_repr_shows_modules_shapes_and_counts() -> None:
    net = nn.Sequential(nn.Linear(64, 32, rng=rng()), nn.ReLU(), nn.Linear(32, 10, rng=rng()))
    net[0].requires_grad_(False)
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=64, out_features=32, bias=True)"
        "  # weight (32, 64), bias (32,): 2,080 parameters\n"
        "  (1): ReLU()\n"
        "  (2): Linear(in_features=32, out_features=10, bias=True)"
        "  # weight (10, 32), bias (10,): 330 parameters\n"
        ")\n"
        "2,410 parameters, 2,080 of them frozen"
    )


def test_repr_indents_what_is_in_lists_and_dicts() -> None:
    lines = repr(Nested()).splitlines()
    assert lines[0] == "Nested(  # heads.right.1 (1,), own (6,): 7 parameters"
    assert lines[1] == "  (blocks.0): Scale()  # factor (2,): 2 parameters"
    assert lines[-2:] == [")", "21 parameters"]
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.PReLU()) == "PReLU()  # weight (1,): 1 parameter"


def test_a_step_leaves_no_reference_cycle() -> None:
    net = nn.MLP([3, 4, 2], rng=rng())
    np.sum(net(np.ones((2, 3)))).backward()
    gc.collect()
    gc.disable()
    try:
        np.sum(net(np.ones((2, 3)))).backward()
        assert gc.collect() == 0
    finally:
        gc.enable()


# -- Sequential ------------------------------------------------------------------------------------


def test_sequential_works_as_a_list() -> None:
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = nn.Sequential(a, b)
    assert net.append(c) is net
    assert (len(net), list(net), net[0], net[-1]) == (3, [a, b, c], a, c)
    part = net[1:]
    assert isinstance(part, nn.Sequential)
    assert list(part) == [b, c]
    with pytest.raises(tg.IndexingError, match="Sequential: expected an index below 3, got 3"):
        _ = net[3]


def test_sequential_takes_names() -> None:
    net = nn.Sequential({"hidden": nn.Linear(2, 3, rng=rng()), "act": nn.Tanh()})
    assert [path for path, _ in net.named_parameters()] == ["hidden.weight", "hidden.bias"]
    assert net.hidden is net[0]
    assert [path for path, _ in net[:1].named_children()] == ["hidden"]


@pytest.mark.parametrize("name", ["", "a.b", "forward", "training"])
def test_sequential_refuses_names_that_are_taken(name: str) -> None:
    with pytest.raises(tg.InputError, match="Sequential: expected a name that is free"):
        nn.Sequential({name: nn.ReLU()})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (tg.relu, r"got function as '0'; .* nn\.ReLU\(\) for tg\.relu"),
        (nn.ReLU, r"got type as '0'; write ReLU\(\.\.\.\)"),
        ([nn.ReLU()], r"got list as '0'; write Sequential\(\*modules\)"),
        (None, "got NoneType as '0'"),
    ],
)
def test_sequential_refuses_what_is_no_module_and_says_what_to_write(
    wrong: Any, message: str
) -> None:
    with pytest.raises(tg.DtypeError, match=message):
        nn.Sequential(wrong)


def test_a_module_can_be_appended_to_a_slice() -> None:
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    assert list(nn.Sequential(a, b)[1:].append(c)) == [b, c]
    assert list(nn.Sequential({"1": a}).append(b)) == [a, b]


def test_sequential_counts_its_steps_and_nothing_else() -> None:
    net = nn.Sequential(nn.ReLU())
    net.others = [nn.Tanh()]
    assert (len(net), list(net), net[-1]) == (1, [net[0]], net[0])


def test_an_empty_sequential_is_the_identity() -> None:
    assert nn.Sequential()(3.0) == 3.0

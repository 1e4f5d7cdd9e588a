"""What all optimisers share: parameters in groups, the walk over them, and their state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, GraphError, InputError
from tinygrad_edu.sparse import RowSparse
from tinygrad_edu.tensor import Tensor

Array = np.ndarray[Any, Any]
State = dict[str, Any]  # of one parameter: how many steps it has made, and arrays of its shape
Options = dict[str, Any]

_BELOW_ONE = {"betas", "alpha"}


class Optimizer:
    """Base of the optimisers: `update` says what a step does to an array, this walks over them.

    A step changes the parameters in place, through `.data`: a graph that was recorded before keeps
    the values it computed with. Parameters without a gradient are left alone. Of one whose gradient
    is a `RowSparse`, only the rows used are touched, and only their part of the state; the other
    rows wait, weight decay and momentum included ("lazy", as PyTorch's `SparseAdam`). For SGD
    without these it is the same as with the dense gradient.

    Args:
        params: Tensors; or pairs of a name and a Tensor; or groups with options of their own,
            `[{"params": [...], "lr": 0.1}, ...]`.
        **defaults: the options of a group that does not say otherwise.

    Attributes:
        param_groups: per group its `params`, their `names` (or None), and every option; an option
            may be changed between steps.
        state: what is remembered of each parameter that has made a step.

    Raises:
        InputError: if there are no parameters, one comes twice, or an option is out of range.
        GraphError: if a parameter is not tracked, or is the result of an op.
        DtypeError: if it is no Tensor that holds an ndarray, or an option is no number.
    """

    param_groups: list[Options]
    state: dict[Tensor, State]

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        self.param_groups, self.state, self._defaults = [], {}, defaults
        if isinstance(params, Tensor | np.ndarray):
            raise DtypeError(f"{self._name}: expected a list of parameters, got one: pass [p]")
        listed = self._listed(params)
        in_groups = bool(listed) and isinstance(listed[0], Mapping)
        for group in listed if in_groups else [{"params": listed}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Take in more parameters, as one of the groups that the constructor takes.

        Raises:
            As the constructor.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise InputError(f"{self._name}: expected a group with 'params', got {group!r:.80}")
        if unknown := sorted(group.keys() - self._defaults.keys() - {"params"}):
            known = ", ".join(self._defaults)
            raise InputError(f"{self._name}: has no option {unknown[0]!r}; options: {known}")
        params = group["params"]
        listed = [params] if isinstance(params, Tensor) else self._listed(params)
        pairs = [x if isinstance(x, tuple) and len(x) == 2 else (None, x) for x in listed]
        if not pairs:
            raise InputError(f"{self._name}: expected parameters, got an empty list or iterator")
        seen = {p for group in self.param_groups for p in group["params"]}
        for position, (name, p) in enumerate(pairs):
            what = f"{self._name}: parameter {name or getattr(p, 'name', None) or position}"
            _check_parameter(what, p)
            if p in seen:
                raise InputError(f"{what} comes twice; a step would update it twice: pass it once")
            seen.add(p)
        options = {key: group.get(key, default) for key, default in self._defaults.items()}
        options = {key: self._checked(key, value) for key, value in options.items()}
        self.check(options)
        names, tensors = zip(*pairs, strict=True)
        self.param_groups.append({**options, "params": [*tensors], "names": names})

    def _listed(self, params: Any) -> list[Any]:
        if isinstance(params, Mapping | str) or not isinstance(params, Iterable):
            raise DtypeError(
                f"{self._name}: expected a list of parameters, got {type(params).__name__}: pass "
                "model.parameters()"
            )
        return list(params)

    def _checked(self, key: str, value: Any) -> Any:
        """An option as plain Python numbers (a NumPy one would widen float32)."""
        if isinstance(value, bool | np.bool_):
            return bool(value)
        if key == "betas" and isinstance(value, tuple | list):
            return tuple(self._checked(key, number) for number in value)
        if not isinstance(value, Real):
            raise DtypeError(f"{self._name}: expected a number for {key}, got {value!r:.60}")
        number = float(value)
        if not 0 <= number < math.inf:
            raise InputError(f"{self._name}: expected a finite {key} from 0 up, got {value}")
        if key in _BELOW_ONE and number >= 1:
            raise InputError(f"{self._name}: expected {key} from 0 to below 1, got {value}")
        return number

    # -- what a subclass says ------------------------------------------------------------------

    def check(self, options: Options) -> None:
        """Refuse options that do not go together."""

    def buffers(self, options: Options) -> tuple[str, ...]:
        """Names of the arrays that are kept for a parameter; they begin as zeros."""
        return ()

    def update(self, p: Array, g: Array, state: State, options: Options) -> None:
        """One step, in place.

        Args:
            p: the parameter, or the rows used of it.
            g: its gradient, same shape and dtype; not to be written into.
            state: the `buffers`, alike, to be written into; and `step`, 1 in the first step.
            options: of its group.
        """
        raise NotImplementedError(f"{self._name}: write its method update(self, p, g, ...)")

    # -- what is done with it ------------------------------------------------------------------

    def step(self) -> None:
        """Change every parameter that has a gradient, or none if a gradient does not fit.

        Raises:
            InputError: if a gradient, set by hand, has another shape than its parameter.
            DtypeError: if it holds no real numbers.
        """
        due = [
            (p, group) for group in self.param_groups for p in group["params"] if p.grad is not None
        ]
        for p, _ in due:
            self._check_gradient(p, p.grad)
        for p, group in due:
            self._step(p, p.grad, group)

    def _check_gradient(self, p: Tensor, g: Any) -> None:
        if not isinstance(g, np.ndarray | RowSparse) or g.shape != p.shape:
            raise InputError(
                f"{self._name}: expected for {p!r:.60} a gradient of shape {p.shape}, got "
                f"{type(g).__name__} of shape {getattr(g, 'shape', None)}"
            )
        if g.dtype.kind not in "fiub":
            raise DtypeError(
                f"{self._name}: expected for {p!r:.60} a gradient of {p.dtype}, got {g.dtype}"
            )

    def _step(self, p: Tensor, g: Any, options: Options) -> None:
        data = p.data  # which no graph holds any more, or holds a copy of
        state = self.state.get(p)
        if state is None:
            state = self.state[p] = {"step": 0}
        buffers = self.buffers(options)
        for key in buffers:  # an option may have been changed since
            if key not in state:
                state[key] = np.zeros_like(data)
        state["step"] += 1
        if isinstance(g, np.ndarray):
            self.update(data, g, state, options)
            return
        used = {key: state[key].take(g.rows, axis=0) for key in buffers}
        rows = data.take(g.rows, axis=0)
        self.update(rows, g.values, {**state, **used}, options)
        data[g.rows] = rows
        for key, part in used.items():
            state[key][g.rows] = part

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    # -- state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that a step depends on, beside the parameters and their gradients.

        Returns:
            `{"state": {number: {...}}, "param_groups": [...]}`, as PyTorch has it: parameters are
            numbered through all groups.
        """
        number = {p: i for i, p in enumerate(self._parameters())}
        return {
            "state": {number[p]: _copied(state) for p, state in self.state.items()},
            "param_groups": [
                {**group, "params": [number[p] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; all of it, or nothing where something does not fit.

        Raises:
            InputError: if it is of other groups, parameters or another kind of optimiser.
        """
        who = f"{self._name}.load_state_dict"
        try:
            groups, states = state_dict["param_groups"], state_dict["state"]
            sizes = [len(group["params"]) for group in groups]
            saved = {int(number): dict(state) for number, state in states.items()}  # "0" from JSON
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                f"{who}: expected {{'state': ..., 'param_groups': ...}} as state_dict() gives it, "
                f"got {state_dict!r:.80}"
            ) from None
        own = [len(group["params"]) for group in self.param_groups]
        if sizes != own:
            raise InputError(f"{who}: expected groups of {own} parameters, got {sizes}")
        options = [
            self._saved_options(who, *pair) for pair in zip(self.param_groups, groups, strict=True)
        ]
        buffers = [self.buffers(options[i]) for i, size in enumerate(sizes) for _ in range(size)]
        parameters = self._parameters()
        if strange := saved.keys() - range(len(parameters)):
            raise InputError(
                f"{who}: expected state of {len(parameters)} parameters, got number {min(strange)}"
            )
        loaded = {
            parameters[i]: _saved_state(f"{who}: parameter {i}", parameters[i], buffers[i], state)
            for i, state in saved.items()
        }
        for group, chosen in zip(self.param_groups, options, strict=True):
            group.update(chosen)
        self.state = loaded

    def _saved_options(self, who: str, own: Options, saved: Mapping[str, Any]) -> Options:
        """The options of a saved group, if it is one like our own."""
        if different := self._defaults.keys() ^ (saved.keys() - {"params", "names"}):
            raise InputError(
                f"{who}: expected the options {', '.join(self._defaults)}; missing or too many: "
                f"{', '.join(sorted(different))}; is it of another optimiser?"
            )
        names = tuple(saved.get("names") or own["names"])
        if names != own["names"]:
            raise InputError(f"{who}: expected parameters named {own['names']}, got {names}")
        options = {key: self._checked(key, saved[key]) for key in self._defaults}
        self.check(options)
        return options

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        """Its options, and how many parameters they are for."""
        lines = []
        for group in self.param_groups:
            options = ", ".join(f"{key}={group[key]}" for key in self._defaults)
            lines.append(f"{self._name}({options}) for {len(group['params'])} parameters")
        return "\n".join(lines)


def _check_parameter(what: str, p: Any) -> None:
    if not isinstance(p, Tensor):
        raise DtypeError(f"{what}: expected a Tensor, got {type(p).__name__}")
    if not p.is_leaf:
        raise GraphError(
            f"{what} is the result of an op; only leaves, which nothing computed, can be updated"
        )
    if not p.requires_grad:
        raise GraphError(
            f"{what} gets no gradient: set requires_grad=True, or leave out what is frozen: "
            "[p for p in parameters if p.requires_grad]"
        )
    if not isinstance(p._array, np.ndarray):
        raise DtypeError(
            f"{what}: expected a Tensor that holds an ndarray, got {type(p._array).__name__}, "
            "which cannot be updated in place"
        )


def _copied(state: State) -> State:
    return {key: x.copy() if isinstance(x, np.ndarray) else x for key, x in state.items()}


def _saved_state(who: str, p: Tensor, buffers: tuple[str, ...], saved: Mapping[str, Any]) -> State:
    """The saved state of a parameter, with arrays of its shape and dtype."""
    if missing := {"step", *buffers} - saved.keys():
        raise InputError(f"{who}: {', '.join(sorted(missing))} missing")
    state: State = {}
    for key, value in saved.items():
        array = np.asarray(value)
        shape = () if key == "step" else p.shape
        if array.dtype.kind not in "fiu" or array.shape != shape:
            raise InputError(
                f"{who}: {key}: expected numbers of shape {shape}, got {array.dtype} of shape "
                f"{array.shape}"
            )
        state[key] = int(array) if key == "step" else np.array(array, dtype=p.dtype)
    if state["step"] < 0 or state["step"] != saved["step"]:
        raise InputError(f"{who}: expected a whole number of steps, got {saved['step']}")
    return state

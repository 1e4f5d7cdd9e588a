"""Sequential: modules one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Self, overload

from tinygrad_edu.errors import DtypeError, IndexingError, InputError
from tinygrad_edu.nn.module import Module


class Sequential(Module):
    """Modules one after the other: the result of each is the input of the next.

        net = nn.Sequential(nn.Linear(64, 32, rng=rng), nn.ReLU(), nn.Linear(32, 10, rng=rng))

    They are called "0", "1", ... or as a dict says. `net[0]`, `net[-1]`, `net[:2]` (which shares
    its modules with `net`), `len(net)` and iteration work as with a list, and `net.name` as in any
    module.

    Args:
        *modules: the modules, or one dict from name to module.

    Raises:
        DtypeError: if something is no module.
        InputError: if a name is taken.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = dict(modules[0])
        else:
            named = {str(i): module for i, module in enumerate(modules)}  # type: ignore[misc]
        for name, module in named.items():
            self._add(name, module)

    def _add(self, name: str, module: Any) -> None:
        kind = type(self).__name__
        if not isinstance(module, Module):
            if isinstance(module, list | tuple):
                advice = f"write {kind}(*modules)"
            elif isinstance(module, type):
                advice = f"write {module.__name__}(...)"
            else:
                advice = "a function has a module of its own, such as nn.ReLU() for tg.relu"
            raise DtypeError(
                f"{kind}: expected modules, got {type(module).__name__} as {name!r}; {advice}"
            )
        if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
            raise InputError(f"{kind}: expected a name that is free and has no '.', got {name!r}")
        setattr(self, name, module)

    def forward(self, x: Any) -> Any:
        """Every module in turn."""
        for module in self:
            x = module(x)
        return x

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        taken = vars(self).keys()  # a slice keeps the names, which then do not begin with "0"
        self._add(next(name for i in count(len(self)) if (name := str(i)) not in taken), module)
        return self

    def __len__(self) -> int:
        return len(self._steps())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._steps().values())

    def _steps(self) -> dict[str, Module]:
        return {name: part for name, part in vars(self).items() if isinstance(part, Module)}

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Module:
        named = list(self._steps().items())
        if isinstance(index, slice):
            return Sequential(dict(named[index]))
        try:
            return named[index][1]
        except IndexError as error:
            raise IndexingError(
                f"{type(self).__name__}: expected an index below {len(named)}, got {index}"
            ) from error

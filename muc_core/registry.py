"""Named things (methods, families, job kinds) that refuse duplicates and list what they know."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from muc_core.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to entries, in the order of registration."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry. Raises `ValueError` when the name is taken."""
        if name in self._entries:
            raise ValueError(f"the {self._kind} {name!r} is already registered")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry of that name. Raises `UnknownName`, which lists the known names."""
        if name not in self._entries:
            raise UnknownName(f"there is no {self._kind} {name!r}; known: {', '.join(self._entries) or 'none'}")
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

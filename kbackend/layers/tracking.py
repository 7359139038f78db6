"""Tracking: finds variables, layers, metrics and seed generators among an object's attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# kind -> (does a value belong to it?, the list that holds such values)
Rules = dict[str, tuple[Callable[[Any], bool], list[Any]]]


class Tracker:
    """Sorts what it is shown into lists, by rules; each value is kept once.

    Args:
        rules: name of a list -> (test, list).
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._seen: dict[int, str] = {}

    def track(self, value: Any) -> Any:
        """Files `value`, or what it contains; returns it, containers as tracked ones."""
        for kind, (test, store) in self.rules.items():
            if test(value):
                if id(value) not in self._seen:
                    self._seen[id(value)] = kind
                    store.append(value)
                return value
        cls = value.__class__
        if cls is list:
            return TrackedList(value, self)
        if cls is dict:
            return TrackedDict(value, self)
        if cls is set:
            return TrackedSet(value, self)
        if isinstance(value, tuple):
            items = [self.track(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else cls(items)
        return value

    def untrack(self, value: Any) -> None:
        """Forgets `value`."""
        kind = self._seen.pop(id(value), None)
        if kind is not None:
            store = self.rules[kind][1]
            store[:] = [item for item in store if item is not value]


class TrackedList(list[Any]):
    """A list that shows its items to a tracker."""

    def __init__(self, items: Iterable[Any] = (), tracker: Tracker | None = None) -> None:
        self.tracker = tracker
        super().__init__(tracker.track(item) if tracker else item for item in items)

    def _track(self, value: Any) -> Any:
        return self.tracker.track(value) if self.tracker else value

    def _untrack(self, value: Any) -> None:
        if self.tracker and not any(value is item for item in self):
            self.tracker.untrack(value)

    def append(self, value: Any) -> None:
        """Adds and tracks."""
        super().append(self._track(value))

    def insert(self, index: Any, value: Any) -> None:
        """Inserts and tracks."""
        super().insert(index, self._track(value))

    def extend(self, values: Iterable[Any]) -> None:
        """Adds and tracks all."""
        super().extend([self._track(value) for value in values])

    def __iadd__(self, values: Iterable[Any]) -> TrackedList:  # type: ignore[misc,override]
        self.extend(values)
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        old = self[index]
        if isinstance(index, slice):
            super().__setitem__(index, [self._track(item) for item in value])
            for item in old:
                self._untrack(item)
        else:
            super().__setitem__(index, self._track(value))
            self._untrack(old)

    def __delitem__(self, index: Any) -> None:
        old = self[index]
        super().__delitem__(index)
        for item in old if isinstance(index, slice) else [old]:
            self._untrack(item)

    def pop(self, index: Any = -1) -> Any:
        """Removes, forgets and returns an item."""
        value = super().pop(index)
        self._untrack(value)
        return value

    def remove(self, value: Any) -> None:
        """Removes and forgets an item."""
        super().remove(value)
        self._untrack(value)

    def clear(self) -> None:
        """Removes and forgets all."""
        old = list(self)
        super().clear()
        for value in old:
            self._untrack(value)

    def __reduce__(self) -> Any:
        return list, (list(self),)


class TrackedDict(dict[Any, Any]):
    """A dict that shows its values to a tracker."""

    def __init__(self, values: Any = (), tracker: Tracker | None = None) -> None:
        self.tracker = tracker
        super().__init__()
        self.update(values)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key in self:
            old = self[key]
            if old is not value and self.tracker:
                self.tracker.untrack(old)
        super().__setitem__(key, self.tracker.track(value) if self.tracker else value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Sets and tracks several values."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of `key`, set to `default` and tracked if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def __delitem__(self, key: Any) -> None:
        value = self[key]
        super().__delitem__(key)
        if self.tracker:
            self.tracker.untrack(value)

    def pop(self, key: Any, *default: Any) -> Any:
        """Removes, forgets and returns a value."""
        if key not in self:
            return super().pop(key, *default)
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> Any:
        """Removes, forgets and returns the last entry."""
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Removes and forgets all."""
        for key in list(self):
            del self[key]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class TrackedSet(set[Any]):
    """A set that shows its items to a tracker."""

    def __init__(self, items: Iterable[Any] = (), tracker: Tracker | None = None) -> None:
        self.tracker = tracker
        super().__init__(tracker.track(item) if tracker else item for item in items)

    def add(self, value: Any) -> None:
        """Adds and tracks."""
        super().add(self.tracker.track(value) if self.tracker else value)

    def update(self, *others: Iterable[Any]) -> None:
        """Adds and tracks all."""
        for other in others:
            for value in other:
                self.add(value)

    def discard(self, value: Any) -> None:
        """Removes and forgets an item if it is there."""
        super().discard(value)
        if self.tracker:
            self.tracker.untrack(value)

    def remove(self, value: Any) -> None:
        """Removes and forgets an item."""
        super().remove(value)
        if self.tracker:
            self.tracker.untrack(value)

    def __reduce__(self) -> Any:
        return set, (set(self),)


class Unique:
    """A list in which each object appears once."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._seen: set[int] = set()

    def extend(self, values: Iterable[Any]) -> None:
        """Adds the objects that are not there yet."""
        for value in values:
            if id(value) not in self._seen:
                self._seen.add(id(value))
                self.items.append(value)

"""A row of numbers that is gone through several times, in registers where it is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.target import host
from kbackend_numba.codegen.value import Address, Type, Value

# Vectors up to which a row is short.
_SHORT = 8
# Vectors that a turn of a loop does where rows are long, each for a sum of its own.
_UNROLL = 4


class Place(NamedTuple):
    """Elements of a row that are done at once.

    Attributes:
        at: number of the first one.
        mask: which lanes there are; `None`: all.
        number: of the vector, where the row is short; else -1.
    """

    at: Value
    mask: Value | None
    number: int = -1


Term = Callable[[Place], Value]


class Length(NamedTuple):
    """What code needs to know of the length of rows.

    Attributes:
        vectors: how many they are, if few; else 0.
        even: whether all vectors are full.
    """

    vectors: int
    even: bool


def length_of(count: int, dtype: str) -> Length:
    """What code needs to know of rows of `count` elements."""
    lanes = host().lanes(Type(dtype).bits // 8)
    vectors = -(-count // lanes)
    return Length(vectors if vectors <= _SHORT else 0, count % lanes == 0)


class Row:
    """The elements of a row.

    Args:
        code: where to write.
        dtype: of the elements.
        count: how many there are.
        length: what is known of that number.

    Attributes:
        lanes: elements of a vector.
    """

    def __init__(self, code: Code, dtype: str, count: Value, length: Length) -> None:
        self.code, self.dtype, self.count, self.length = code, dtype, count, length
        self.lanes = code.target.lanes(Type(dtype).bits // 8)
        # The last vector of a short row.
        self._last = None
        if length.vectors and not length.even:
            self._last = code.first(count - (length.vectors - 1) * self.lanes, self.lanes)

    def start(self, array: int, number: Value) -> Address:
        """Where row `number` of an array begins."""
        return self.code.offset(self.code.array(array), number * self.count, self.dtype)

    def places(self) -> list[Place]:
        """The vectors of a short row."""
        code, last = self.code, self.length.vectors - 1
        return [
            Place(code.number(i * self.lanes), self._last if i == last else None, i)
            for i in range(last + 1)
        ]

    def each(self, body: Callable[[Place], None]) -> None:
        """Writes `body` for all elements."""
        if self.length.vectors:
            for place in self.places():
                body(place)
        else:
            self._each_from(self.code.number(0), body)

    def _each_from(self, start: Value, body: Callable[[Place], None]) -> None:
        code, count = self.code, self.count
        whole = count & -self.lanes
        with code.loop(start, whole, self.lanes) as at:
            body(Place(at, None))
        if not self.length.even:
            with code.when(whole < count):
                body(Place(whole, code.first(count - whole, self.lanes)))

    def put(self, out: Address, term: Term) -> None:
        """Writes a row; `term` gives its vectors."""
        if self.length.vectors:
            # What is read may be what is written: all is read first, into registers.
            for place, value in [(place, term(place)) for place in self.places()]:
                self.code.store(value, out, place.at, place.mask)
        else:
            self.each(lambda place: self.code.store(term(place), out, place.at, place.mask))

    def load(self, address: Address, place: Place) -> Value:
        """Elements of an array that is a row."""
        return self.code.load(address, place.at, self.dtype, self.lanes, place.mask)

    def sums(self, *terms: Term) -> list[Value]:
        """The sums of several terms over the row."""
        return self.fold(terms, 0.0, lambda a, b: a + b)

    def largest(self, term: Term) -> Value:
        """The largest number of a term that has no NaN; with NaN it may be any."""
        return self.fold((term,), -float("inf"), self._larger)[0]

    def _larger(self, a: Value, b: Value) -> Value:
        return self.code.select(a > b, a, b)

    def keep(self, term: Term, room: Address) -> Term:
        """A term that is computed only once, now: into registers where rows are short, else into
        memory for a row."""
        if self.length.vectors:
            found = [term(place) for place in self.places()]
            return lambda place: found[place.number]
        self.put(room, term)
        return lambda place: self.load(room, place)

    def fold(
        self,
        terms: Sequence[Term],
        start: float,
        combine: Callable[[Value, Value], Value],
    ) -> list[Value]:
        """Terms combined over the row.

        Args:
            terms: what to combine.
            start: what changes nothing.
            combine: combines two vectors.
        """
        first = self.code.number(start, self.dtype, self.lanes)

        def values(place: Place) -> list[Value]:
            found = [term(place) for term in terms]
            if place.mask is None:
                return found
            return [self.code.select(place.mask, value, first) for value in found]

        if self.length.vectors:
            columns = [values(place) for place in self.places()]
        else:
            columns = self._long([first] * len(terms), values, combine)
        while len(columns) > 1:
            pairs = zip(columns[::2], columns[1::2], strict=False)
            joined = [[combine(a, b) for a, b in zip(*pair, strict=True)] for pair in pairs]
            columns = joined + columns[len(columns) & ~1 :]
        return [self._across(value, combine) for value in columns[0]]

    def _across(self, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            low, high = range(lanes), range(lanes, 2 * lanes)
            value = combine(*[self.code.shuffle(value, value, half) for half in (low, high)])
        return value.lane(0)

    def _long(
        self,
        start: list[Value],
        values: Callable[[Place], list[Value]],
        combine: Callable[[Value, Value], Value],
    ) -> list[list[Value]]:
        code = self.code
        found = [[code.var(first) for first in start] for _ in range(_UNROLL)]

        def take(place: Place, column: int = 0) -> None:
            new = values(place)
            for total, value in zip(found[column], new, strict=True):
                total.set(combine(total.value, value))

        turn = _UNROLL * self.lanes
        whole = self.count & -turn
        with code.loop(0, whole, turn) as at:
            for column in range(_UNROLL):
                take(Place(at + column * self.lanes, None), column)
        self._each_from(whole, take)
        return [[total.value for total in column] for column in found]

"""Engines for the tests of the loader."""

from kbackend.engine.interface import Engine, Probe


class ToyEngine(Engine):
    name = "toy"

    def __init__(self) -> None:
        super().__init__({}, {})


class OtherEngine(ToyEngine):
    name = "other"


class UnusableEngine(ToyEngine):
    name = "unusable"

    @classmethod
    def probe(cls) -> Probe:
        return Probe(usable=False, reason="No device was found.", mend="Plug one in.")


class BrokenEngine(ToyEngine):
    name = "broken"

    def __init__(self) -> None:
        raise OSError("libtoy.so: cannot open shared object file")

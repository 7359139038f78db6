"""Numbers as people read them."""

from __future__ import annotations

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def number(value: float) -> str:
    """Three significant digits, without an exponent.

    >>> number(1234.5), number(12.34), number(0.05678)
    ('1234', '12.3', '0.057')
    """
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def scale(value: float, unit: str) -> tuple[float, str]:
    """The factor and the name of the unit in which a value reads best.

    >>> scale(0.0021, "s")
    (0.001, 'ms')
    """
    steps = _TIMES if unit == "s" else _SIZES
    return next((step for step in steps if abs(value) >= step[0]), steps[-1])


def quantity(value: float, unit: str) -> str:
    """A value with its unit.

    >>> quantity(0.0021, "s"), quantity(1.5e6, "bytes")
    ('2.10 ms', '1.50 MB')
    """
    factor, name = scale(value, unit)
    return f"{number(value / factor)} {name}"


def least_and_median(least: float, median: float, unit: str) -> str:
    """Both in the unit of the first.

    >>> least_and_median(0.0021, 0.0022, "s")
    '2.10 (2.20) ms'
    """
    factor, name = scale(least, unit)
    return f"{number(least / factor)} ({number(median / factor)}) {name}"

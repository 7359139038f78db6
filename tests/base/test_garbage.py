"""The collector of garbage is put off, and left as it was."""

import gc

import pytest

from kbackend.base.garbage import uncollected


def test_the_collector_comes_back_after_errors_and_inner_blocks():
    with pytest.raises(ZeroDivisionError), uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

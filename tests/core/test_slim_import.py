import importlib
import sys

import pytest

from app.core.slim_import import without


def test_what_is_hidden_is_there_again_afterwards() -> None:
    import colorsys

    with without("colorsys", "not_installed"):
        for name in ("colorsys", "not_installed"):
            with pytest.raises(ImportError):
                importlib.import_module(name)
    assert sys.modules["colorsys"] is colorsys
    assert "not_installed" not in sys.modules


def test_it_is_there_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), without("colorsys"):
        raise ZeroDivisionError
    assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)

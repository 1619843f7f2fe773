"""What the package offers is there, and each error has a use."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

import wssend
from wssend import errors

ROOT = Path(__file__).parents[2]


def test_every_promised_name_exists() -> None:
    assert [name for name in wssend.__all__ if not hasattr(wssend, name)] == []


def test_the_version_is_the_installed_one() -> None:
    assert wssend.__version__ == version("wssend")


def test_every_error_can_be_imported_from_the_top() -> None:
    assert set(errors.__all__) <= set(wssend.__all__)


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"WSSendError"}))
def test_every_error_is_raised_somewhere(name: str) -> None:
    sources = [*ROOT.glob("csrc/py/*.c"), *ROOT.glob("wssend/**/*.py")]
    own = ROOT / "wssend/errors.py"
    assert [p for p in sources if p != own and name in p.read_text()]

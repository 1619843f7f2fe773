"""The product names nothing of the machine it was written on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {"build", "dist", "node_modules"}  # beside what starts with a dot
DOT_FILES = [ROOT / ".ci/run", ROOT / ".clang-tidy", ROOT / ".gitignore"]

MACHINE_PATH = re.compile(r"(?<![\w./}-])/(work|root|home)/")
# In two halves, so that this file does not name them either.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "yarn" + "pkg.com",
    "deb" + ".debian.org",
    "archive" + ".ubuntu.com",
    "proxy" + ".golang.org",
    "crates" + ".io",
]


def ours(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in NOT_OURS or path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir():
            yield from ours(path)
        else:
            yield path


@pytest.mark.parametrize(
    "path", [*ours(ROOT), *DOT_FILES], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_a_file_names_no_path_of_a_machine_and_no_registry(path: Path) -> None:
    text = path.read_bytes().decode(errors="replace")
    assert path == Path(__file__) or not MACHINE_PATH.search(text)
    assert [host for host in REGISTRIES if host in text] == []

"""Who may include or import whom, checked on the source itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)

# Each layer sees itself and the ones listed; nothing points upwards.
LAYERS: Final[dict[str, set[str]]] = {
    "core": set(),
    "proto": set(),
    "net": {"core", "proto"},
    "py": {"core", "net"},
}
# Headers from outside, and who may know them: a layer, or a single file.
FOREIGN = {
    "libwebsockets.h": {"net"},
    "openssl/": {"proto", "net"},
    "zlib.h": {"proto"},
    "Python.h": {"py"},
    "sys/epoll.h": {"net/loop.c"},
}
# Packages that not everybody has, and the part of wssend that may want them.
OPTIONAL = {
    "channels": "django",
    "django": "django",
    "jwt": "auth",
    "redis": "backplane",
}

C_FILES = sorted((ROOT / "csrc").rglob("*.[ch]"))
PY_FILES = sorted((ROOT / "wssend").rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def includes(path: Path) -> list[tuple[str, str]]:
    """The (quote, header) of each #include."""
    return INCLUDE.findall(path.read_text())


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_a_c_file_includes_only_lower_layers(path: Path) -> None:
    layer = path.parent.name
    for quote, header in includes(path):
        if quote == '"':
            target = header.split("/")[0] if "/" in header else layer
            assert target == layer or target in LAYERS[layer], header


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_a_foreign_header_stays_where_it_belongs(path: Path) -> None:
    who = {path.parent.name, f"{path.parent.name}/{path.name}"}
    for _, header in includes(path):
        for start, allowed in FOREIGN.items():
            assert not header.startswith(start) or who & allowed, header


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_a_c_source_includes_its_own_header_first(path: Path) -> None:
    if path.suffix == ".c" and path.with_suffix(".h").exists():
        assert includes(path)[0][1] == path.with_suffix(".h").name


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_a_source_is_never_included(path: Path) -> None:
    assert not [header for _, header in includes(path) if header.endswith(".c")]


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_a_header_names_itself_and_guards_itself(path: Path) -> None:
    if path.suffix == ".h":
        guard = f"WS_{path.parent.name}_{path.stem}_H".upper()
        text = path.read_text()
        assert re.match(rf"/\*\s(?: \* )?{re.escape(path.name)} - ", text)
        assert f"#ifndef {guard}\n#define {guard}\n" in text


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


@pytest.mark.parametrize("path", PY_FILES, ids=name)
def test_an_optional_dependency_stays_in_its_module(path: Path) -> None:
    for module in imported(path):
        home = OPTIONAL.get(module.split(".")[0])
        assert home is None or home in path.with_suffix("").parts, module

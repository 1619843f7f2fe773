"""Chooses servers, and builds or installs what they need."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from peers import ALL, FLOOR, Peer

ROOT = Path(__file__).parents[2]
SERVERS = ROOT / "bench" / "servers"
OUT = ROOT / "build" / "bench"


def programs() -> Path:
    """Where CMake has put the programs of bench/."""
    return ROOT / os.environ.get("WSSEND_BENCH", "build/dev/bench")


class UnavailableError(Exception):
    """A server cannot run here; the text says why."""


def choose(words: Sequence[str], peers: Sequence[Peer] = ALL) -> list[Peer]:
    """The peers of those names and groups, and always the floor.

    Without a word: the default ones. Raises ValueError for an unknown word.
    """
    for word in words:
        if not any(word in (peer.name, peer.group) for peer in peers):
            known = sorted({n for peer in peers for n in (peer.name, peer.group)})
            raise ValueError(f"no peer {word!r}; there are {', '.join(known)}")
    chosen = [
        peer
        for peer in peers
        if peer is not FLOOR
        and (peer.default if not words else {peer.name, peer.group} & {*words})
    ]
    return [FLOOR, *chosen]


def places(peer: Peer) -> dict[str, str]:
    """What may stand in braces in a command."""
    return {
        "build": str(OUT / peer.group),
        "servers": str(SERVERS),
        "programs": str(programs()),
        "python": sys.executable,
    }


def command(peer: Peer, queue: int) -> list[str]:
    """What starts a server."""
    words = [word.format_map(places(peer)) for word in peer.command]
    return [*words, "--port", "0", "--queue", str(queue)]


def fingerprint(peer: Peer) -> str:
    """Another one whenever it has to be prepared again."""
    found = hashlib.sha256(repr((peer.prepare, sys.version)).encode())
    for name in peer.inputs:
        path = SERVERS / name
        files: Iterable[Path] = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file():
                found.update(str(file.relative_to(SERVERS)).encode())
                found.update(file.read_bytes())
    return found.hexdigest()


def run(words: Sequence[str], environment: dict[str, str]) -> None:
    """Run a command; UnavailableError with its last line when it fails."""
    done = subprocess.run(
        words,
        cwd=SERVERS,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if line.strip()]
        last = said[-1].strip() if said else f"exit status {done.returncode}"
        raise UnavailableError(f"{' '.join(words[:2])} failed: {last}")


def prepare(peer: Peer) -> None:
    """Make a server ready to start, if it is not; UnavailableError when that fails."""
    for tool in peer.needs:
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is not installed")
    folder = OUT / peer.group
    folder.mkdir(parents=True, exist_ok=True)
    # What a group shares is made once, and each has a word in it.
    stamp = folder / f".{peer.name}"
    wanted = fingerprint(peer)
    if not stamp.exists() or stamp.read_text() != wanted:
        for words in peer.prepare:
            run([w.format_map(places(peer)) for w in words], dict(peer.environment))
        stamp.write_text(wanted)

"""The servers that the benchmark knows: what each needs, and how it is started.

Each speaks the protocol of bench/README.md. A new one is a file or a folder in
bench/servers and an entry here; `make bench PEERS="NAME ..."` then takes its name,
or the name of its group.

In `prepare` and `command`, {build} is the group's folder under build/bench, {servers}
is bench/servers, {programs} is where CMake puts the programs of bench/, and {python}
is the Python that wssend is installed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One server.

    Attributes:
        name: What chooses it, and names it in the results.
        title: What the tables and the plot call it.
        group: What else chooses it, and whose folder it is built in: all of a group
            share what `prepare` makes.
        needs: Programs that must be on PATH; without one the peer is skipped.
        inputs: Files or folders in bench/servers that `prepare` reads; it runs again
            when one of them has changed.
        prepare: Commands that build or install the server, run in bench/servers one
            after the other. When one fails the peer is skipped, with the last line
            that it printed.
        command: What starts the server; --port 0 --queue N is added.
        environment: More environment variables for it.
        default: Whether it is in the table when nothing is chosen.
    """

    name: str
    title: str
    group: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    default: bool = True


FLOOR = Peer(
    name="floor",
    title="floor (C, one send() a message)",
    group="floor",
    command=("{programs}/bench_floor",),
)

WSSEND = ("{python}", "{servers}/wssend_server.py")

UVLOOP = ("--loop", "uvloop")
HUB_MAKE = 'cd gorilla && exec go build -buildvcs=false -o "$1" .'


def gorilla(name: str, title: str, *options: str) -> Peer:
    """The hub of gorilla/websocket's chat example."""
    return Peer(
        name=name,
        title=f"Go gorilla hub{title}",
        group="go",
        needs=("go",),
        inputs=("gorilla",),
        prepare=(("sh", "-c", HUB_MAKE, "go build", "{build}/gorilla"),),
        command=("{build}/gorilla", *options),
    )


def python(
    name: str, title: str, server: str, *options: str, default: bool = True
) -> Peer:
    """A server in Python; all of them share a virtual environment."""
    python = "{build}/bin/python"
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    return Peer(
        name=name,
        title=f"Python {title}",
        group="python",
        inputs=("requirements.txt",),
        prepare=(
            ("{python}", "-m", "venv", "{build}"),
            (python, *install, "-r", "requirements.txt"),
        ),
        command=(python, f"{{servers}}/{server}_server.py", *options),
        default=default,
    )


WS = Peer(
    name="ws",
    title="Node ws",
    group="node",
    needs=("node", "npm"),
    inputs=("ws",),
    prepare=(
        ("cp", "-r", "ws/.", "{build}"),
        ("npm", "ci", "--prefix", "{build}", "--no-audit", "--no-fund"),
    ),
    command=("node", "{build}/server.js"),
)

# Built outside the sources, where cargo may write its lock file.
FASTWEBSOCKETS = Peer(
    name="fastwebsockets",
    title="Rust fastwebsockets",
    group="rust",
    needs=("cargo",),
    inputs=("fastwebsockets",),
    prepare=(
        ("cp", "-r", "fastwebsockets/.", "{build}"),
        (
            *("cargo", "build", "--release", "--quiet"),
            *("--manifest-path", "{build}/Cargo.toml"),
            *("--target-dir", "{build}/target"),
        ),
    ),
    command=("{build}/target/release/fastwebsockets_server",),
)

ALL = (
    FLOOR,
    Peer(
        name="wssend",
        title="wssend",
        group="wssend",
        command=WSSEND,
    ),
    Peer(
        name="wssend-gil",
        title="wssend, release_gil=False",
        group="wssend",
        command=(*WSSEND, "--release-gil", "0"),
    ),
    # Those that follow are other people's, each as its users would write it.
    gorilla("gorilla", ""),
    gorilla("gorilla-prepared", ", PreparedMessage", "-prepared"),
    FASTWEBSOCKETS,
    WS,
    python("websockets", "websockets (uvloop)", "websockets", *UVLOOP),
    python("picows", "picows (uvloop)", "picows", *UVLOOP),
    python("aiohttp", "aiohttp", "aiohttp"),
    python("aiohttp-uvloop", "aiohttp (uvloop)", "aiohttp", *UVLOOP, default=False),
    python("starlette", "Starlette on uvicorn (uvloop)", "starlette", *UVLOOP),
    python("socketify", "socketify, app.run()", "socketify"),
    python("socketify-uv", "socketify, libuv only", "socketify", "--loop", "uv"),
)

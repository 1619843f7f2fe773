"""docs/frameworks.md and what the examples' pages say about themselves."""

from __future__ import annotations

import ast
import io
import re
import sys
import threading
import tokenize
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import tool
from programs import LIMIT, Program, Visitor, gunicorn_of, python
from wsclient import Client

import wssend
import wssend.testing

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "docs/frameworks.md").read_text())
OURS = ["chat", "fastapi_push", "flask_push", "prices"]
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_of(name: str) -> str:
    (code,) = [code for file, code in BLOCKS if file == name]
    return str(code)


def test_each_block_is_run_or_is_part_of_an_example() -> None:
    names = [name for name, _ in BLOCKS]
    run = {"app.py", "gunicorn.conf.py", "tasks.py", "monitor.py"}  # below
    assert run == {name for name in names if not name.startswith("examples/")}
    assert len(names) == 7 == (ROOT / "docs/frameworks.md").read_text().count("```py")


@pytest.mark.parametrize(
    ("name", "code"), [block for block in BLOCKS if block[0].startswith("examples/")]
)
def test_a_block_of_an_example_is_what_the_example_has(name: str, code: str) -> None:
    text = (ROOT / name).read_text()
    for part in code.split("\n\n"):
        assert part.rstrip() + "\n" in text


def test_one_gunicorn_worker_with_threads_has_the_hub_itself(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(code_of("app.py"))
    configuration = code_of("gunicorn.conf.py")
    assert '"127.0.0.1", 8765' in configuration
    address = f'unix="{tmp_path}/hub.sock"'
    configuration = configuration.replace('"127.0.0.1", 8765', address)
    (tmp_path / "gunicorn.conf.py").write_text(configuration)
    log = tmp_path / "gunicorn.log"
    with Program(log, gunicorn_of("app:app"), folder=tmp_path) as gunicorn:
        url = gunicorn.wait_for(r"Listening at: (http://[\d.:]+)")[1]
        visitor = Visitor(url)
        assert visitor.ask("POST", "/news", "early")[1] == {"reached": 0}  # it is up
        with Client(f"ws+unix:{tmp_path}/hub.sock") as client:
            assert visitor.ask("POST", "/news", "hello")[1] == {"reached": 1}
            assert client.recv() == '"hello"'
            gunicorn.ask_to_end()
            assert client.answer_close().code == 1001
        assert gunicorn.stop() == 0
        assert "Traceback" not in gunicorn.said()


def test_a_celery_worker_pushes(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(code_of("tasks.py"))
    socket = tmp_path / "redis.sock"
    options = f"--port 0 --unixsocket {socket} --save".split()
    environment = {
        "BROKER": f"redis+socket://{socket}",
        "HUB_SOCKET": f"unix:{tmp_path}/hub.sock",
        "PYTHONPATH": str(tmp_path),
    }
    worker = python("celery", "-A", "tasks", "worker", "--concurrency=1", "-lINFO")
    ask = "import tasks; tasks.build.delay('42')"
    with (
        wssend.WSHub() as hub,
        wssend.expose(hub, environment["HUB_SOCKET"]),
        wssend.testing.connect(hub, user="42") as page,
        Program(tmp_path / "redis.log", [tool("redis-server"), *options, ""]) as redis,
    ):
        redis.wait_for("eady to accept connections")
        with Program(tmp_path / "celery.log", worker, environment, tmp_path) as celery:
            celery.wait_for(r"celery@\S+ ready\.")
            command = [sys.executable, "-c", ask]
            with Program(tmp_path / "ask.log", command, environment) as asker:
                assert asker.process.wait(LIMIT) == 0, asker.said()
            for percent in range(0, 101, 25):
                page.expect({"percent": percent}, timeout=LIMIT)


def test_threads_share_a_hub() -> None:
    names: dict[str, Any] = {}
    exec(compile(code_of("monitor.py"), "monitor.py", "exec"), names)
    hub, url = names["hub"], names["listener"].url
    try:
        with Client(url, headers=[("Origin", "http://localhost")]) as client:
            client.send("load")
            assert client.recv() == "subscribed to load"
            job = threading.Thread(target=names["measure"], args=("load", [0.5, 0.7]))
            job.start()
            assert [client.recv(), client.recv()] == ["load 0.5", "load 0.7"]
            job.join(LIMIT)
            client.leave()
        with wssend.testing.connect(hub, topics=["load"]) as slow:
            slow.stall()
            names["measure"]("load", [1.0] * 257)
            assert slow.client.close_code == 1013
    finally:
        hub.close(timeout=5)
        names["server"].join(LIMIT)
    assert not names["server"].is_alive()


# What the examples say about themselves.


def lines_of_code(path: Path) -> int:
    """Lines that are no comment, no docstring and not empty."""
    text = path.read_text()
    if path.suffix == ".html":
        return sum(bool(line.strip()) for line in text.splitlines())
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


@pytest.mark.parametrize("name", OURS)
def test_an_example_says_how_long_it_is(name: str) -> None:
    folder = ROOT / "examples" / name
    text = (folder / "README.md").read_text()
    files = [*folder.rglob("*.py"), *folder.rglob("*.html")]
    assert files
    for path in files:
        place = path.relative_to(folder)
        assert f"| [{place}]({place}) | {lines_of_code(path)} |" in text


@pytest.mark.parametrize("name", OURS)
def test_an_example_loads_nothing_from_elsewhere(name: str) -> None:
    for path in (ROOT / "examples" / name).rglob("*.html"):
        assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", path.read_text())


def test_the_readme_names_each_example() -> None:
    text = (ROOT / "README.md").read_text()
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/README.md")}
    assert set(OURS) <= folders
    assert folders <= set(re.findall(r"\]\(examples/(\w+)\)", text))

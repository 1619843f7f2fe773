"""The tools of other people that these tests drive, and servers for them.

A tool that is missing skips the test; under CI it fails it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.programs import ChromiumClient, Client, Command, DemoServer, python_driver
from e2e.servers import EchoServer
from e2e.webdriver import Browser

HERE = Path(__file__).parent
SETUP_TIMEOUT = 100.0  # seconds


def unavailable(reason: str) -> None:
    """End the test for want of a tool."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (scripts/setup-e2e installs it)", pytrace=False)
    pytest.skip(reason)


def tool(*names: str) -> str:
    """Find a program by one of its names."""
    for name in names:
        if found := shutil.which(name):
            return found
    unavailable(f"{names[0]} is not installed")
    raise AssertionError


def prepare(command: list[str], folder: Path) -> None:
    """Run a step that may need the network."""
    try:
        subprocess.run(
            command, cwd=folder, timeout=SETUP_TIMEOUT, check=True, capture_output=True
        )
    except subprocess.SubprocessError as error:
        output = (getattr(error, "stderr", None) or b"").decode(errors="replace")
        unavailable(f"{' '.join(command)}: {error}\n{output}")


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    """A hub that sends back what it gets."""
    with EchoServer() as server:
        yield server


@pytest.fixture
def demo() -> Iterator[DemoServer]:
    """The demo, as the command serves it."""
    with DemoServer("--demo") as server:
        yield server


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium for the whole session."""
    driver, program = tool("chromedriver"), tool("chromium", "google-chrome")
    browser = Browser(driver, program, tmp_path_factory.mktemp("chromium"))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser, with no window but its first; the pages must not complain."""
    chromium.console()
    yield chromium
    chromium.close_tabs()
    assert chromium.console() == []


@pytest.fixture(scope="session")
def node_driver() -> Command:
    """The driver for Node's ws."""
    node, folder = tool("node"), HERE / "node"
    if not (folder / "node_modules" / "ws").is_dir():
        prepare([tool("npm"), "ci", "--no-audit", "--no-fund"], folder)
    return Command([node, str(folder / "driver.js")])


@pytest.fixture(scope="session")
def go_drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the compiled drivers."""
    folder = tmp_path_factory.mktemp("go")
    build = [tool("go"), "build", "-buildvcs=false", "-o", f"{folder}/", "./..."]
    prepare(build, HERE / "go")
    return folder


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Client:
    """Somebody else's client, by its name."""
    name: str = request.param
    if name == "chromium":
        return ChromiumClient(request.getfixturevalue("browser"))
    if name == "node-ws":
        driver: Command = request.getfixturevalue("node_driver")
        return driver
    if name.startswith("go-"):
        folder: Path = request.getfixturevalue("go_drivers")
        return Command([str(folder / name.removeprefix("go-"))])
    module = name.replace("-", "_")
    package = module.partition("_")[0]
    if importlib.util.find_spec(package) is None:
        unavailable(f"{package} is not installed")
    return python_driver(module)

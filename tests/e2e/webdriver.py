"""A few words of the WebDriver protocol, enough for a real Chromium.

Everything waits a bounded time and fails with what it was waiting for.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Browser", "Tab", "WebDriverError"]

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
]
# One that is started beside another may find its port taken in between.
STARTS = 5
CSS = "css selector"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class WebDriverError(Exception):
    """The browser refused, or what a test waits for did not come."""


class Browser:
    """A Chromium of its own, and the chromedriver that drives it."""

    def __init__(self, chromedriver: str, chromium: str, folder: Path) -> None:
        environment = {**os.environ, "HOME": str(folder), "NO_PROXY": "*"}
        self._log = (folder / "chromedriver.log").open("wb")
        port = None
        for _ in range(STARTS):
            self._process = subprocess.Popen(
                [chromedriver, "--port=0"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment,
            )
            port = self._read_port()
            if port is not None:
                break
            self._process.communicate(timeout=20)
        try:
            if port is None:
                raise WebDriverError("no chromedriver started; see chromedriver.log")
            self._url = f"http://127.0.0.1:{port}"
            self._url += f"/session/{self._new_session(chromium, folder)}"
        except BaseException:
            self.quit()
            raise

    def _read_port(self) -> int | None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := re.search(rb"started successfully on port (\d+)", line):
                return int(match[1])
        return None

    def _new_session(self, chromium: str, folder: Path) -> str:
        options = {
            "binary": chromium,
            "args": [*ARGUMENTS, f"--user-data-dir={folder / 'profile'}"],
        }
        always = {
            "browserName": "chrome",
            "acceptInsecureCerts": True,  # of the tests' own servers
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 20_000, "pageLoad": 20_000},
        }
        capabilities = {"capabilities": {"alwaysMatch": always}}
        value = self._ask("POST", self._url + "/session", capabilities)
        session: str = value["sessionId"]
        return session

    def command(self, method: str, path: str, body: object = None) -> Any:
        """Ask the session, and return the answer's value."""
        return self._ask(method, self._url + path, body)

    @staticmethod
    def _ask(method: str, url: str, body: object = None) -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        request = urllib.request.Request(url, data, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            with error:
                value = json.load(error)["value"]
            raise WebDriverError(f"{value['error']}: {value['message']}") from None

    def tab(self, url: str) -> Tab:
        """Open a window of its own, so that none is slowed down as hidden."""
        handle = self.command("POST", "/window/new", {"type": "window"})["handle"]
        tab = Tab(self, handle)
        tab.open(url)
        return tab

    def close_tabs(self) -> None:
        """Close all windows but the browser's first."""
        first, *others = self.command("GET", "/window/handles")
        for handle in others:
            Tab(self, handle).close()
        self.command("POST", "/window", {"handle": first})

    def console(self) -> list[str]:
        """Return what the pages complained about since the last call."""
        entries = self.command("POST", "/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] == "SEVERE"]

    def quit(self) -> None:
        """End the browser and its driver."""
        try:
            if "/session/" in getattr(self, "_url", ""):
                self.command("DELETE", "")
        finally:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._log.close()


@dataclass(frozen=True, slots=True)
class Tab:
    """A page in a window; every call turns to that window first."""

    browser: Browser
    handle: str

    def _command(self, path: str, body: object = None, method: str = "POST") -> Any:
        self.browser.command("POST", "/window", {"handle": self.handle})
        return self.browser.command(method, path, body)

    def open(self, url: str) -> None:
        """Go to an address and wait until it has loaded."""
        self._command("/url", {"url": url})

    def close(self) -> None:
        """Close the window, and turn to the browser's first."""
        first, *_ = self._command("/window", method="DELETE")
        self.browser.command("POST", "/window", {"handle": first})

    def run(self, script: str, *args: object) -> Any:
        """Run the body of a function and return what it returns."""
        return self._command("/execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script: str, *args: object) -> Any:
        """Run a body whose last argument is the function to call when done."""
        return self._command("/execute/async", {"script": script, "args": list(args)})

    def wait(self, expression: str, *args: object, timeout: float = 10.0) -> Any:
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + timeout
        while True:
            value = self.run(f"return ({expression});", *args)
            if value:
                return value
            if time.monotonic() > end:
                page = self.run("return document.body.innerText;")
                raise WebDriverError(f"not true in {timeout} s: {expression}\n{page}")
            time.sleep(0.05)

    def _find(self, selector: str) -> str:
        query = {"using": CSS, "value": selector}
        element: str = self._command("/element", query)[ELEMENT]
        return element

    def click(self, selector: str) -> None:
        """Click an element where a person would."""
        self._command(f"/element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into a field, over what is in it."""
        element = self._find(selector)
        self._command(f"/element/{element}/clear")
        self._command(f"/element/{element}/value", {"text": text})

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        value: str = self._command(
            f"/element/{self._find(selector)}/text", method="GET"
        )
        return value

    def devtools(self, command: str, **parameters: object) -> Any:
        """Send a command of the Chrome DevTools protocol."""
        body = {"cmd": command, "params": parameters}
        return self._command("/goog/cdp/execute", body)

    def look(self, *, width: int, height: int, scheme: str = "light") -> None:
        """Be a screen of that size, with a colour scheme."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen as PNG, or the whole page."""
        options = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {**size, "scale": 1}
        shot = self.devtools("Page.captureScreenshot", **options)
        path.write_bytes(base64.b64decode(shot["data"]))

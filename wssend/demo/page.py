"""The demo's page: one document, complete in itself, from the parts in static/."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Final

__all__ = ["build_page"]

SCRIPTS: Final = ("connection.js", "view.js", "app.js")


def build_page(*, path: str = "/", id_query: str | None = None, demo: bool) -> bytes:
    """Put the page together.

    Args:
        path: Where the page opens its WebSocket, as in ``"/ws"``.
        id_query: The query parameter by which a client names itself; None when
            the hub generates the ids.
        demo: Whether a :class:`~wssend.demo.Demo` serves the hub. Otherwise the
            page only shows what arrives.

    Returns:
        An HTML document that loads nothing from anywhere. Its policy allows
        exactly the style and the script in it, a worker that the script makes,
        and WebSockets.
    """
    style = part("style.css")
    script = "\n".join(part(name) for name in SCRIPTS)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{source_hash(script)}'",
            f"style-src '{source_hash(style)}'",
            "worker-src blob:",
            # Not every browser counts ws: as 'self'; the script narrows it.
            "connect-src 'self' ws: wss:",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    settings = json.dumps({"path": path, "idQuery": id_query, "demo": demo})
    page = part("index.html")
    for name, text in {
        "policy": html.escape(policy),
        "settings": html.escape(settings),
        "style": style,
        "worker": part("worker.js"),
        "script": script,
    }.items():
        page = page.replace("{{" + name + "}}", text, 1)
    return page.encode()


def part(name: str) -> str:
    """A file from static/."""
    return (files(__package__) / "static" / name).read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()

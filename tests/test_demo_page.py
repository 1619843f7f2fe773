"""The demo's page as a document: what it allows, loads and is told."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re

import pytest

from wssend.demo import build_page


@pytest.mark.parametrize("demo", [True, False])
def test_the_page_allows_exactly_its_own_parts(demo: bool) -> None:
    text = build_page(demo=demo, id_query="id").decode()
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    policy = dict(p.split(" ", 1) for p in html.unescape(found[1]).split("; "))
    assert policy["default-src"] == "'none'"
    for kind in ("script", "style"):
        (body,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert policy[f"{kind}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"\son[a-z]+=|\sstyle=|javascript:", text)


def test_the_page_loads_nothing() -> None:
    text = build_page(demo=True).decode()
    assert "{{" not in text
    assert set(re.findall(r"https?://[^'\"\s]+", text)) == {
        "http://www.w3.org/2000/svg"  # a name, not an address
    }
    assert not re.search(r"\ssrc=|@import|url\(", text)


def test_the_page_is_told_where_and_who() -> None:
    text = build_page(path='/a"<b', id_query="who&what", demo=True).decode()
    found = re.search(r'<meta name="wssend" content="([^"]*)">', text)
    assert found is not None
    settings = json.loads(html.unescape(found[1]))
    assert settings == {"path": '/a"<b', "idQuery": "who&what", "demo": True}

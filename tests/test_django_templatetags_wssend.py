"""The template tags: where a page is told to connect."""

from __future__ import annotations

from typing import Any

import django_kit  # noqa: F401
import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, RequestContext, Template
from django.test import RequestFactory, override_settings

HERE = {"SOCKET": "unix:/run/wssend/none.sock"}


class LazyNonce:
    """Like Django's own: false until somebody has asked for it."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "n0nce"


def render(
    text: str,
    request: Any = None,
    setting: dict[str, Any] | None = None,
    **context: Any,
) -> str:
    template = Template("{% load wssend %}" + text)
    with override_settings(WSSEND=HERE | (setting or {})):
        if request is None:
            return str(template.render(Context(context)))
        return str(template.render(RequestContext(request, context)))


def get(host: str = "example.com", *, secure: bool = False) -> Any:
    return RequestFactory().get("/", headers={"host": host}, secure=secure)


def test_the_page_connects_to_its_own_host() -> None:
    assert render("{% wssend_url %}", get()) == "ws://example.com/ws"
    assert render("{% wssend_url %}", get("a.example:8080")) == "ws://a.example:8080/ws"


def test_a_secure_page_connects_securely() -> None:
    assert render("{% wssend_url %}", get(secure=True)) == "wss://example.com/ws"


def test_behind_a_proxy_that_ends_tls_a_secure_page_is_known() -> None:
    request = get()
    request.META["HTTP_X_FORWARDED_PROTO"] = "https"
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert render("{% wssend_url %}", request) == "wss://example.com/ws"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost:8000", "localhost:8765"),
        ("localhost", "localhost:8765"),
        ("[::1]:8000", "[::1]:8765"),
    ],
)
def test_without_a_proxy_the_page_connects_to_the_hubs_port(
    host: str, address: str
) -> None:
    direct = {"BEHIND_PROXY": False}
    assert render("{% wssend_url %}", get(host), direct) == f"ws://{address}/ws"


def test_the_address_can_be_set() -> None:
    url = "wss://push.example.com/x?a=1&b=2"
    assert render("{% wssend_url %}", setting={"URL": url}) == url.replace("&", "&amp;")


def test_the_path_can_be_set() -> None:
    setting = {"PATH": "/shop/ws"}
    assert render("{% wssend_url %}", get(), setting) == "ws://example.com/shop/ws"


def test_the_script_knows_the_address() -> None:
    assert render("{% wssend_script %}", get()) == (
        '<script src="/static/wssend/wssend.js" data-url="ws://example.com/ws"></script>'
    )


def test_the_script_is_there() -> None:
    assert finders.find("wssend/wssend.js")


def test_the_script_has_the_nonce_of_the_context_or_of_the_request() -> None:
    html = render("{% wssend_script %}", get(), csp_nonce=LazyNonce())
    assert html.endswith(' nonce="n0nce"></script>')
    request = get()
    request.csp_nonce = 'a"b'
    html = render("{% wssend_script %}", request)
    assert html.endswith(' nonce="a&quot;b"></script>')


def test_a_template_without_its_request_is_told_what_it_lacks() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"context_processors\.request"):
        render("{% wssend_url %}")

"""``{% load wssend %}``: ``{% wssend_script %}`` and ``{% wssend_url %}``."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port
from django.templatetags.static import static
from django.utils.html import format_html

from wssend.django import embedded
from wssend.django.conf import get_settings

__all__ = ["wssend_script", "wssend_url"]

register = template.Library()


@register.simple_tag(takes_context=True)
def wssend_script(context: Any) -> str:
    """Render the script element of ``wssend.js``, which knows where to connect.

    It has the nonce of the page's Content-Security-Policy, where the context or the
    request has one (Django's own, django-csp).
    """
    nonce = _nonce(context)
    attribute = "" if nonce is None else format_html(' nonce="{}"', nonce)
    html: str = format_html(
        '<script src="{}" data-url="{}"{}></script>',
        static("wssend/wssend.js"),
        url_of(context.get("request")),
        attribute,
    )
    return html


@register.simple_tag(takes_context=True)
def wssend_url(context: Any) -> str:
    """Render the address that the page is to connect to: ``wss://host/ws``."""
    return url_of(context.get("request"))


def url_of(request: Any) -> str:
    """Return where the page of a request is to connect.

    Raises:
        ImproperlyConfigured: The template does not know its request.
    """
    settings = get_settings()
    if settings.url is not None:
        return settings.url
    if request is None:
        raise ImproperlyConfigured(
            "wssend's template tags need the request: render with it, and with "
            "'django.template.context_processors.request', or set WSSEND['URL']"
        )
    scheme = "wss" if request.is_secure() else "ws"
    host = request.get_host()
    if not settings.behind_proxy:
        host = f"{split_domain_port(host)[0]}:{embedded.port() or settings.port}"
        scheme = "ws"  # the hub's own port, and it speaks no TLS
    return f"{scheme}://{host}{settings.path}"


def _nonce(context: Any) -> str | None:
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(context.get("request"), "csp_nonce", None)
    text = "" if nonce is None else str(nonce)  # a lazy one counts as used from here
    return text or None

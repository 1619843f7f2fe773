"""The application that ``INSTALLED_APPS`` names."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.checks import register
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_started
from django.utils.module_loading import autodiscover_modules

from . import checks, embedded
from .conf import get_settings

__all__ = ["WssendConfig"]


class WssendConfig(AppConfig):
    """Registers checks and receivers; starts an embedded hub where one is served."""

    name = "wssend.django"
    label = "wssend"
    verbose_name = "WebSocket push"

    def ready(self) -> None:
        """Connect signals. Nothing listens yet, except under runserver."""
        register(checks.check_settings)
        if apps.is_installed("django.contrib.auth"):
            from . import logout

            logout.connect()
        autodiscover_modules("receivers")
        try:
            is_embedded = get_settings().embedded
        except ImproperlyConfigured:
            return  # the checks tell it better
        if is_embedded:
            request_started.connect(
                embedded.on_request, dispatch_uid="wssend.django.embedded"
            )
            if embedded.is_served_by_runserver():
                embedded.start()

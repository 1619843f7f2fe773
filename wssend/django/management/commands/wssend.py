"""``manage.py wssend``: the hub as a process of its own."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from wssend.cli import STOP, reason_of, signals_of
from wssend.django import conf
from wssend.django.service import Service

__all__ = ["Command"]


class Command(BaseCommand):
    """Run the hub until a signal comes."""

    help = (
        "Run the WebSocket hub: clients connect to it, and all processes of the "
        "application push through its local socket. SIGINT (Ctrl-C) and SIGTERM write "
        "what is queued and close the clients with 1001."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options; without one, the WSSEND setting counts."""
        add = parser.add_argument
        add("--host", help='address to listen on (WSSEND["HOST"])')
        add("--port", type=int, help='its port, 0 for any free one (WSSEND["PORT"])')
        add("--unix", metavar="PATH", help="listen on a unix socket instead")
        add("--path", help='the only path that takes WebSockets (WSSEND["PATH"])')
        add("--control", metavar="PATH", help='the local socket (WSSEND["SOCKET"])')
        add(
            "--drain",
            type=float,
            metavar="SECONDS",
            help='time for what is queued when it stops (WSSEND["DRAIN"])',
        )

    def handle(self, *_: object, **options: Any) -> None:
        """Serve."""
        settings = merge(conf.get_settings(), options)
        with signals_of(reload=False) as signals:
            service = Service(settings)
            try:
                service.start()
                self.announce(service, settings)
                while STOP not in signals.recv(64):
                    pass
            except OSError as error:
                raise CommandError(reason_of(error)) from error
            finally:
                service.stop(settings.drain)

    def announce(self, service: Service, settings: conf.Settings) -> None:
        """Say where the hub listens."""
        self.stdout.write(
            f"wssend: serving {service.listener.url}, local socket {settings.socket} "
            "(Ctrl-C stops)"
        )
        self.stdout.flush()


def merge(settings: conf.Settings, options: dict[str, Any]) -> conf.Settings:
    """Let options of the command count before the setting.

    Raises:
        CommandError: One of them is wrong, or there is no local socket.
    """
    given = {
        key: options.get("control" if key == "SOCKET" else key.lower())
        for key in ("HOST", "PORT", "UNIX", "PATH", "SOCKET", "DRAIN")
    }
    if given["HOST"] is not None or given["PORT"] is not None:
        settings = dataclasses.replace(settings, unix=None)
    changes = {}
    for key, value in given.items():
        if value is not None:
            name = "control" if key == "SOCKET" else key.lower()
            try:
                changes[key.lower()] = conf.CONVERTERS[key](value)
            except (TypeError, ValueError) as error:
                raise CommandError(f"--{name} {error}") from error
    settings = dataclasses.replace(settings, **changes)
    if settings.socket is None:
        raise CommandError(
            "there is no local socket for the application to push through: set "
            'WSSEND["SOCKET"], or give --control'
        )
    return settings

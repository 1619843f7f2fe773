"""``manage.py people``: two users to try it with."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Makes ada and grace, with the password wssend."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        """Make those that are not there."""
        for name in ("ada", "grace"):
            user, new = get_user_model().objects.get_or_create(username=name)
            if new:
                user.set_password("wssend")
                user.save()
            self.stdout.write(f"{name}, password wssend")

"""What is kept."""

from typing import Any

from django.conf import settings
from django.db import models


class Job(models.Model):
    """A report that somebody has asked for."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    title = models.CharField(max_length=60)
    percent = models.PositiveSmallIntegerField(default=0)
    started = models.DateTimeField(auto_now_add=True)

    def as_message(self) -> dict[str, Any]:
        """What a page needs of it; datetimes become JSON by themselves."""
        return {
            "type": "job",
            "id": self.pk,
            "title": self.title,
            "percent": self.percent,
            "started": self.started,
        }

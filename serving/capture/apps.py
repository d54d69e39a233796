"""The Django app of captured inputs."""

from django.apps import AppConfig


class CaptureConfig(AppConfig):
    name = "serving.capture"
    label = "capture"
    default_auto_field = "django.db.models.BigAutoField"

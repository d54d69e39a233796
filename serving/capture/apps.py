"""The Django app of captured inputs."""

from django.apps import AppConfig


class CaptureConfig(AppConfig):
    name = "serving.capture"
    label = "capture"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from serving.capture.joined_rows import add_kind

        add_kind()

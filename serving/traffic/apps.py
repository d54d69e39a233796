"""Traffic: what the queries of applications came to over time."""

from django.apps import AppConfig


class TrafficConfig(AppConfig):
    name = "serving.traffic"
    label = "traffic"
    verbose_name = "Traffic"
    default_auto_field = "django.db.models.BigAutoField"

"""Settings of predict processes and workers: all of the stack's, without those of pages."""

from clipper_site.settings import *  # noqa: F403

INSTALLED_APPS = [
    # The registry names users.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "registry.apps.RegistryConfig",
    "selection.apps.SelectionConfig",
    "serving.apps.ServingConfig",
    "serving.traffic.apps.TrafficConfig",
    "serving.capture.apps.CaptureConfig",
    "serving.alerts.apps.AlertsConfig",
]
MIDDLEWARE = []
TEMPLATES = []
ROOT_URLCONF = ""

"""Settings of predict processes and workers: all of the stack's, less what shows pages.

They read the registry through Django's models, and serve no view of Django's.
"""

from __future__ import annotations

from clipper_site.settings import *  # noqa: F403

INSTALLED_APPS = [
    # The registry names users.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "registry.apps.RegistryConfig",
    "selection.apps.SelectionConfig",
    "serving.apps.ServingConfig",
]
MIDDLEWARE = []
TEMPLATES = []
ROOT_URLCONF = ""

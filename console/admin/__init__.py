"""The console's lists and forms (Django admin): one file per object. Django looks here."""

import django.contrib.auth.admin  # noqa: F401  (what it registers is taken away below)
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User

from console.admin.application_admin import ApplicationAdmin
from console.admin.channel_admin import ChannelAdmin
from console.admin.feedback_admin import FeedbackAdmin
from console.admin.key_admin import ApiKeyAdmin
from console.admin.model_admin import ModelConsole
from console.admin.release_admin import ReleaseAdmin
from console.admin.version_admin import VersionAdmin

__all__ = [
    "ApiKeyAdmin",
    "ApplicationAdmin",
    "ChannelAdmin",
    "FeedbackAdmin",
    "ModelConsole",
    "ReleaseAdmin",
    "VersionAdmin",
]

# People have roles, on the page People & keys.
admin.site.unregister((User, Group))
# Where a provider is set, allauth would have its tables edited here, among them providers.
for app in ("account", "socialaccount"):
    if apps.is_installed(f"allauth.{app}"):
        for table in filter(admin.site.is_registered, apps.get_app_config(app).get_models()):
            admin.site.unregister(table)

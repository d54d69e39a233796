"""The console's lists and forms (Django admin): one file per object. Django looks here."""

from console.admin.application_admin import ApplicationAdmin
from console.admin.channel_admin import ChannelAdmin
from console.admin.feedback_admin import FeedbackAdmin
from console.admin.key_admin import ApiKeyAdmin
from console.admin.model_admin import ModelConsole
from console.admin.people import PeopleAdmin, TeamAdmin
from console.admin.release_admin import ReleaseAdmin
from console.admin.version_admin import VersionAdmin

__all__ = [
    "ApiKeyAdmin",
    "ApplicationAdmin",
    "ChannelAdmin",
    "FeedbackAdmin",
    "ModelConsole",
    "PeopleAdmin",
    "ReleaseAdmin",
    "TeamAdmin",
    "VersionAdmin",
]

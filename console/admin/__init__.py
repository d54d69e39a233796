"""The console's lists and forms (Django admin): one file per object. Django looks here."""

from console.admin.applications import ApplicationAdmin
from console.admin.audit import AuditAdmin
from console.admin.feedback import FeedbackAdmin
from console.admin.keys import ApiKeyAdmin
from console.admin.models import ModelConsole
from console.admin.people import PeopleAdmin, TeamAdmin
from console.admin.releases import ReleaseAdmin
from console.admin.versions import VersionAdmin

__all__ = [
    "ApiKeyAdmin",
    "ApplicationAdmin",
    "AuditAdmin",
    "FeedbackAdmin",
    "ModelConsole",
    "PeopleAdmin",
    "ReleaseAdmin",
    "TeamAdmin",
    "VersionAdmin",
]

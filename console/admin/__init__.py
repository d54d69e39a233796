"""The console over the registry: one file per object."""

from console.admin.applications import ApplicationAdmin
from console.admin.audit import AuditAdmin
from console.admin.keys import ApiKeyAdmin
from console.admin.models import ModelConsole
from console.admin.objectives import ObjectiveAdmin
from console.admin.people import PeopleAdmin, TeamAdmin
from console.admin.releases import ReleaseAdmin
from console.admin.routes import RouteAdmin
from console.admin.versions import VersionAdmin

__all__ = [
    "ApiKeyAdmin",
    "ApplicationAdmin",
    "AuditAdmin",
    "ModelConsole",
    "ObjectiveAdmin",
    "PeopleAdmin",
    "ReleaseAdmin",
    "RouteAdmin",
    "TeamAdmin",
    "VersionAdmin",
]

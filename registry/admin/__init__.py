"""The console over the registry: one file per object."""

from registry.admin.applications import ApplicationAdmin
from registry.admin.audit import AuditAdmin
from registry.admin.keys import ApiKeyAdmin
from registry.admin.models import ModelConsole
from registry.admin.objectives import ObjectiveAdmin
from registry.admin.people import PeopleAdmin, TeamAdmin
from registry.admin.releases import ReleaseAdmin
from registry.admin.routes import RouteAdmin
from registry.admin.versions import VersionAdmin

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

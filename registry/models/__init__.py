"""The registry's tables."""

from registry.models.access import ApiKey
from registry.models.applications import Application, ServiceLevelObjective
from registry.models.audit import AuditEntry
from registry.models.changes import RegistryChange
from registry.models.checks import VersionCheck
from registry.models.models import Model, ModelVersion
from registry.models.releases import Release
from registry.models.routes import Route

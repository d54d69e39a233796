"""The registry's tables."""

from registry.models.api_key import ApiKey
from registry.models.application import Application, ServiceLevelObjective
from registry.models.audit_entry import AuditEntry
from registry.models.models import Model, ModelVersion
from registry.models.registry_change import RegistryChange
from registry.models.release import Release
from registry.models.rollouts.approval import Approval
from registry.models.rollouts.own_plan import OwnPlan
from registry.models.rollouts.rollout import Rollout
from registry.models.route import Route
from registry.models.version_check import VersionCheck

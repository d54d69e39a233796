"""The management API's URLs about what was learned, for inclusion under /api/v1/."""

from registry.api.views.management_view import APPLICATION, VERSION, both
from selection.contexts_api import ContextsView, SelectionView
from selection.evaluation.export_api import ExportView
from selection.evaluation.gate_history import RolloutHistoryView
from selection.evaluation.health.health_api import HealthView
from selection.evaluation.monitoring.history_api import HistoryView
from selection.evaluation.planning.plan_api import PlanView
from selection.evaluation.what_if.what_if_api import WhatIfView

urlpatterns = [
    *both(f"{APPLICATION}/contexts/", view=ContextsView, name="api-contexts"),
    *both(f"{APPLICATION}/health/", view=HealthView, name="api-health"),
    *both(f"{APPLICATION}/plan/", view=PlanView, name="api-plan"),
    *both(f"{VERSION}/rollout-history", view=RolloutHistoryView, name="api-rollout-history"),
    *both(f"{APPLICATION}/selection/", view=SelectionView, name="api-selection"),
    *both(f"{APPLICATION}/selection/history/", view=HistoryView, name="api-selection-history"),
    *both(f"{APPLICATION}/export/", view=ExportView, name="api-export"),
    *both(f"{APPLICATION}/what-if/", view=WhatIfView, name="api-what-if"),
]

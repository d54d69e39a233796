"""The management API's URLs about traffic, for inclusion under /api/v1/."""

from registry.api.views.management_view import APPLICATION, both
from serving.traffic.traffic_api import ObjectiveStatusView, TrafficView

urlpatterns = [
    *both(f"{APPLICATION}/slo/status", view=ObjectiveStatusView, name="api-objective-status"),
    *both(f"{APPLICATION}/traffic", view=TrafficView, name="api-traffic"),
]

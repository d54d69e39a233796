"""The management API's URLs about running models, for inclusion under /api/v1/."""

from registry.api.views.management_view import APPLICATION, MODEL, VERSION, both
from serving.endpoints.management.alert_views import (
    AlertsView,
    AlertView,
    ChannelsView,
    ChannelTestView,
    ChannelView,
)
from serving.endpoints.management.application_schema import ApplicationSchemaView
from serving.endpoints.management.captured_views import (
    CapturedSetsView,
    CapturedSetView,
    CapturedView,
)
from serving.endpoints.management.compare_views import CompareView
from serving.endpoints.management.diagnosis import ReplicaLogView, VersionErrorsView, VersionLogView
from serving.endpoints.management.environment_views import EnvironmentLogView, EnvironmentsView
from serving.endpoints.management.replay_views import ReplaysView, ReplayView
from serving.endpoints.management.replica_views import ReplicasView

urlpatterns = [
    *both("alerts/", view=AlertsView, name="api-alerts"),
    *both("alerts/<int:alert>", view=AlertView, name="api-alert"),
    *both("alert-channels/", view=ChannelsView, name="api-alert-channels"),
    *both("alert-channels/<int:channel>", view=ChannelView, name="api-alert-channel"),
    *both("alert-channels/<int:channel>/test", view=ChannelTestView, name="api-channel-test"),
    *both("environments/", view=EnvironmentsView, name="api-environments"),
    *both("environments/<str:digest>/log/", view=EnvironmentLogView, name="api-environment-log"),
    *both(f"{APPLICATION}/schema/", view=ApplicationSchemaView, name="api-application-schema"),
    *both(f"{APPLICATION}/captured", view=CapturedView, name="api-captured"),
    *both(f"{APPLICATION}/captured-sets/", view=CapturedSetsView, name="api-captured-sets"),
    *both(f"{APPLICATION}/captured-sets/<str:name>", view=CapturedSetView, name="api-captured-set"),
    *both(f"{MODEL}/compare", view=CompareView, name="api-compare"),
    *both("replicas/", view=ReplicasView, name="api-replicas"),
    *both("replicas/<str:replica>/log/", view=ReplicaLogView, name="api-replica-log"),
    *both(f"{VERSION}/replays/", view=ReplaysView, name="api-replays"),
    *both(f"{VERSION}/replays/<int:replay>", view=ReplayView, name="api-replay"),
    *both(f"{VERSION}/errors/", view=VersionErrorsView, name="api-version-errors"),
    *both(f"{VERSION}/log/", view=VersionLogView, name="api-version-log"),
]

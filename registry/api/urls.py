"""URLs of the management API under /api/v1/."""

from threading import Lock
from typing import Any

from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from registry.api.views.application_views import (
    ApplicationsView,
    ApplicationView,
    ObjectiveView,
    RoutesView,
)
from registry.api.views.declarations import DeclarationsView
from registry.api.views.key_views import JoinView, KeysView, KeyView
from registry.api.views.management_view import APPLICATION, MODEL, VERSION, both
from registry.api.views.model_views import (
    ModelsView,
    ModelView,
    ScaleView,
    VersionsView,
    VersionView,
)
from registry.api.views.plan_views import OwnPlansView, OwnPlanView
from registry.api.views.release_views import (
    DeployView,
    ReleasesView,
    ReleaseView,
    RollBackView,
    RolloutsView,
    RolloutView,
)
from registry.api.views.timeline_view import TimelineView
from registry.api.views.upload_views import UploadView

_generating = Lock()


class OneAtATime(SchemaGenerator):
    """Generates in one thread at a time: the library fails if two look classes up at once."""

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        with _generating:
            generate: Any = super().get_schema  # without annotations
            return generate(request=request, public=public)


class SchemaView(SpectacularAPIView):
    """Shows the OpenAPI schema to anybody: it holds no secrets."""

    generator_class = OneAtATime
    authentication_classes = []
    permission_classes = [AllowAny]


class DocsView(SpectacularSwaggerSplitView):
    """Shows Swagger to anybody; requests from it need a key."""

    authentication_classes = []
    permission_classes = [AllowAny]


urlpatterns = [
    *both("applications/", view=ApplicationsView, name="api-applications"),
    *both(APPLICATION, view=ApplicationView, name="api-application"),
    *both(f"{APPLICATION}/slo", view=ObjectiveView, name="api-objective"),
    *both(f"{APPLICATION}/routes", view=RoutesView, name="api-routes"),
    *both("models/", view=ModelsView, name="api-models"),
    *both(MODEL, view=ModelView, name="api-model"),
    *both(f"{MODEL}/versions/", view=VersionsView, name="api-versions"),
    *both(VERSION, view=VersionView, name="api-version"),
    *both(f"{VERSION}/deploy", view=DeployView, name="api-deploy"),
    *both(f"{MODEL}/rollback", view=RollBackView, name="api-rollback"),
    *both(f"{MODEL}/scale", view=ScaleView, name="api-scale"),
    *both(f"{MODEL}/releases/", view=ReleasesView, name="api-releases"),
    *both(f"{MODEL}/releases/<int:release>", view=ReleaseView, name="api-release"),
    *both(f"{MODEL}/rollouts/", view=RolloutsView, name="api-rollouts"),
    *both(f"{MODEL}/rollouts/<int:rollout>", view=RolloutView, name="api-rollout"),
    *both("rollout-plans/", view=OwnPlansView, name="api-rollout-plans"),
    *both("rollout-plans/<str:plan>", view=OwnPlanView, name="api-rollout-plan"),
    *both("keys/", view=KeysView, name="api-keys"),
    *both("keys/join", view=JoinView, name="api-join"),
    *both("keys/<int:key>", view=KeyView, name="api-key"),
    *both("declarations/check", view=DeclarationsView, name="api-declarations-check"),
    *both("uploads/<str:sha256>", view=UploadView, name="api-upload"),
    *both("timeline/", view=TimelineView, name="api-timeline"),
    path("audit/", TimelineView.as_view(schema=None), name="api-audit"),  # its former name
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(url_name="api-schema"), name="api-docs"),
]

"""Django's URLs: the console, the management API, the feedback form. ASGI answers the others."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from console.admin.login import login
from console.admin.people import own_password
from console.contexts import contexts, reset
from console.documentation import documentation
from console.feedback_form import feedback_form
from console.home import live_json
from console.monitoring import monitoring, monitoring_json
from console.version_errors import version_errors
from console.what_if import what_if
from registry.api.errors import PAGES, unknown_url
from registry.api.urls import urlpatterns as management
from selection.api import ContextsView, SelectionView
from selection.evaluation.monitoring.api import HistoryView
from selection.evaluation.what_if.api import WhatIfView
from serving.api.diagnosis import ReplicaLogView, VersionErrorsView, VersionLogView
from serving.api.replicas import ReplicasView

VERSION = r"^api/v1/models/(?P<model>[^/]+)/versions/(?P<version>[^/]+)"
APPLICATION = r"^api/v1/applications/(?P<application>[^/]+)"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/live.json", live_json, name="console-live"),
    path(
        "admin/applications/<str:name>/monitoring/",
        admin.site.admin_view(monitoring),
        name="console-monitoring",
    ),
    path(
        "admin/applications/<str:name>/monitoring.json",
        monitoring_json,
        name="console-monitoring-json",
    ),
    path(
        "admin/applications/<str:name>/contexts/",
        admin.site.admin_view(contexts),
        name="console-contexts",
    ),
    path(
        "admin/applications/<str:name>/contexts/reset/",
        admin.site.admin_view(reset),
        name="console-reset",
    ),
    path(
        "admin/applications/<str:name>/what-if/",
        admin.site.admin_view(what_if),
        name="console-what-if",
    ),
    path(
        "admin/versions/<int:version_id>/errors/",
        admin.site.admin_view(version_errors),
        name="console-version-errors",
    ),
    path(
        "admin/password_change/",
        admin.site.admin_view(own_password, cacheable=True),
        name="console-own-password",
    ),
    path("admin/login/", login, name="console-login"),
    path("admin/", admin.site.urls),
    path("docs/", documentation, {"path": ""}, name="documentation"),
    path("docs/<path:path>", documentation, name="documentation-page"),
    path("feedback/<str:name>/", feedback_form, name="feedback-form"),
    re_path(r"^api/v1/replicas/?$", ReplicasView.as_view(), name="api-replicas"),
    re_path(
        r"^api/v1/replicas/(?P<replica>[^/]+)/log/?$",
        ReplicaLogView.as_view(),
        name="api-replica-log",
    ),
    re_path(rf"{VERSION}/errors/?$", VersionErrorsView.as_view(), name="api-version-errors"),
    re_path(rf"{VERSION}/log/?$", VersionLogView.as_view(), name="api-version-log"),
    re_path(
        r"^api/v1/applications/(?P<application>[^/]+)/selection/history/?$",
        HistoryView.as_view(),
        name="api-selection-history",
    ),
    re_path(
        r"^api/v1/applications/(?P<application>[^/]+)/what-if/?$",
        WhatIfView.as_view(),
        name="api-what-if",
    ),
    re_path(rf"{APPLICATION}/contexts/?$", ContextsView.as_view(), name="api-contexts"),
    re_path(rf"{APPLICATION}/selection/?$", SelectionView.as_view(), name="api-selection"),
    path("api/v1/", include(management)),
    re_path(rf"^(?!{'|'.join(PAGES)})", unknown_url),
]

handler400 = "registry.api.errors.bad_request_page"
handler403 = "registry.api.errors.forbidden_page"
handler404 = "registry.api.errors.not_found_page"
handler500 = "registry.api.errors.server_error_page"

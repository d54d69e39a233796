"""Django's URLs: the console, the management API, the feedback form. ASGI answers the others."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from clipper_site.dashboard import live_json
from registry.api.errors import PAGES, unknown_url
from registry.api.urls import urlpatterns as management
from selection.feedback.form import feedback_form
from serving.api.replicas import ReplicasView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/live.json", live_json, name="console-live"),
    path("admin/", admin.site.urls),
    path("feedback/<str:name>/", feedback_form, name="feedback-form"),
    re_path(r"^api/v1/replicas/?$", ReplicasView.as_view(), name="api-replicas"),
    path("api/v1/", include(management)),
    re_path(rf"^(?!{'|'.join(PAGES)})", unknown_url),
]

handler400 = "registry.api.errors.bad_request_page"
handler403 = "registry.api.errors.forbidden_page"
handler404 = "registry.api.errors.not_found_page"
handler500 = "registry.api.errors.server_error_page"

"""Django's URLs: the console and the management API. ASGI answers the others."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from clipper_site import celery  # noqa: F401  (views send tasks through its application)
from registry.api.error_shape import PAGES, unknown_url

# The pages that the console has, before it is asked which (clipper_site.apps.LazyAdminConfig).
admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("", include("console.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("registry.api.urls")),
    path("api/v1/", include("selection.urls")),
    path("api/v1/", include("serving.endpoints.management.urls")),
    path("api/v1/", include("serving.traffic.urls")),
    re_path(rf"^(?!{'|'.join(PAGES)})", unknown_url),
]

handler400 = "registry.api.error_shape.bad_request_page"
handler403 = "registry.api.error_shape.forbidden_page"
handler404 = "registry.api.error_shape.not_found_page"
handler500 = "registry.api.error_shape.server_error_page"

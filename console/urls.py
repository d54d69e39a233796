"""The console's URLs beside Django's admin, which has those of the lists and forms."""

from django.conf import settings
from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from console.application_pages import application_page
from console.pages.alerts_page import alerts_page, mute_alert
from console.pages.compare import compare
from console.pages.contexts import reset
from console.pages.documentation import documentation
from console.pages.environments import environments_page
from console.pages.feedback_form import feedback_form
from console.pages.home import home_rows
from console.pages.login import login
from console.pages.new_application import new_application, start
from console.pages.palette import query_page, search
from console.pages.people import own_password, people
from console.pages.releases import roll_back
from console.pages.review import export, label
from console.pages.system import system
from console.pages.timeline import revert_page, timeline
from console.pages.traffic_series import series_json
from console.pages.try_it import give_pass, try_it
from console.pages.version_errors import version_errors

APPLICATION = "admin/applications/<str:name>"

urlpatterns = [
    path(
        "admin/applications/new/",
        admin.site.admin_view(new_application),
        name="console-new-application",
    ),
    path(f"{APPLICATION}/start/", admin.site.admin_view(start), name="console-start"),
    path(f"{APPLICATION}/pass/", admin.site.admin_view(give_pass), name="console-pass"),
    path(f"{APPLICATION}/try/", admin.site.admin_view(try_it), name="console-try"),
    path(f"{APPLICATION}/review/label/", admin.site.admin_view(label), name="console-label"),
    path(f"{APPLICATION}/review/export/", admin.site.admin_view(export), name="console-labelled"),
    path(f"{APPLICATION}/contexts/reset/", admin.site.admin_view(reset), name="console-reset"),
    path(f"{APPLICATION}/query/", admin.site.admin_view(query_page), name="console-query"),
    path(f"{APPLICATION}/series.json", admin.site.admin_view(series_json), name="console-series"),
    path(
        f"{APPLICATION}/",
        admin.site.admin_view(application_page),
        name="console-application-page",
    ),
    path(
        f"{APPLICATION}/<slug:path>/",
        admin.site.admin_view(application_page),
        name="console-application-page",
    ),
    path(
        "admin/environments/",
        admin.site.admin_view(environments_page),
        name="console-environments",
    ),
    # In place of the theme's, which looks for names of lists alone and keeps what it found.
    path("admin/search/", admin.site.admin_view(search), name="console-search"),
    path("admin/timeline/", admin.site.admin_view(timeline), name="console-timeline"),
    path(
        "admin/timeline/<int:entry_id>/",
        admin.site.admin_view(timeline),
        name="console-timeline",
    ),
    path(
        "admin/timeline/<int:entry_id>/revert/",
        admin.site.admin_view(revert_page),
        name="console-revert",
    ),
    path(
        "admin/registry/auditentry/",
        RedirectView.as_view(pattern_name="console-timeline"),
        name="console-audit",  # where it was
    ),
    path("admin/alerts/", admin.site.admin_view(alerts_page), name="console-alerts"),
    path(
        "admin/alerts/<int:alert_id>/mute/",
        admin.site.admin_view(mute_alert),
        name="console-mute",
    ),
    path("admin/home/", admin.site.admin_view(home_rows), name="console-home"),
    path("admin/system/", admin.site.admin_view(system), name="console-system"),
    path("admin/people/", admin.site.admin_view(people), name="console-people"),
    path("admin/people/<int:person_id>/", admin.site.admin_view(people), name="console-person"),
    path(
        "admin/models/<str:name>/rollback/",
        admin.site.admin_view(roll_back),
        name="console-roll-back",
    ),
    path("admin/versions/compare/", admin.site.admin_view(compare), name="console-compare"),
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
    path("docs/", documentation, {"path": ""}, name="documentation"),
    path("docs/<path:path>", documentation, name="documentation-page"),
    path("feedback/<str:name>/", feedback_form, name="feedback-form"),
]

if settings.CLIPPER_OIDC is not None:  # allauth, which these need, is installed only then
    from console.sign_in.sign_in_views import sign_in, signed_in

    urlpatterns += [
        path("admin/sign-in/", sign_in, name="console-sign-in"),
        path("admin/sign-in/callback/", signed_in, name="console-signed-in"),
    ]

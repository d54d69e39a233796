"""The console's URLs beside Django's admin, which has those of the lists and forms."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import admin
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
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
from console.pages.replays import replays
from console.pages.review import export, keep_set, label
from console.pages.rollout_acts import rollout_act, rollout_answers
from console.pages.system import system
from console.pages.timeline import revert_page, timeline
from console.pages.traffic_series import series_json
from console.pages.try_it import give_pass, try_it
from console.pages.version_errors import version_errors

APPLICATION = "applications/<str:name>"


def _page(route: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
    """Return a page for people who have signed in."""
    return path(f"admin/{route}", admin.site.admin_view(view), name=f"console-{name}")


urlpatterns = [
    _page("applications/new/", new_application, "new-application"),
    _page(f"{APPLICATION}/start/", start, "start"),
    _page(f"{APPLICATION}/pass/", give_pass, "pass"),
    _page(f"{APPLICATION}/try/", try_it, "try"),
    _page(f"{APPLICATION}/review/label/", label, "label"),
    _page(f"{APPLICATION}/review/keep/", keep_set, "keep-set"),
    _page(f"{APPLICATION}/review/export/", export, "labelled"),
    _page(f"{APPLICATION}/contexts/reset/", reset, "reset"),
    _page(f"{APPLICATION}/query/", query_page, "query"),
    _page(f"{APPLICATION}/series.json", series_json, "series"),
    _page(f"{APPLICATION}/", application_page, "application-page"),
    _page(f"{APPLICATION}/<slug:path>/", application_page, "application-page"),
    _page("environments/", environments_page, "environments"),
    # In place of the theme's, which looks for names of lists alone and keeps what it found.
    _page("search/", search, "search"),
    _page("timeline/", timeline, "timeline"),
    _page("timeline/<int:entry_id>/", timeline, "timeline"),
    _page("timeline/<int:entry_id>/revert/", revert_page, "revert"),
    _page("registry/auditentry/", RedirectView.as_view(pattern_name="console-timeline"), "audit"),
    _page("alerts/", alerts_page, "alerts"),
    _page("alerts/<int:alert_id>/mute/", mute_alert, "mute"),
    _page("home/", home_rows, "home"),
    _page("system/", system, "system"),
    _page("people/", people, "people"),
    _page("people/<int:person_id>/", people, "person"),
    _page("models/<str:name>/rollback/", roll_back, "roll-back"),
    _page("models/<str:name>/replays/", replays, "replays"),
    _page("rollouts/<int:rollout_id>/", rollout_act, "rollout"),
    _page("rollouts/<int:rollout_id>/queries.txt", rollout_answers, "rollout-answers"),
    _page("versions/compare/", compare, "compare"),
    _page("versions/<int:version_id>/errors/", version_errors, "version-errors"),
    _page("password_change/", own_password, "own-password"),
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

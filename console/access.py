"""Permissions of the console's pages, and their frames."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from console.application_pages import APPLICATION_PAGES
from registry.api.visibility import applications_for, bound_to
from registry.models import Application
from registry.security.throttle import address_of
from registry.services import Actor

VIEW, CHANGE = "registry.view_application", "registry.change_application"
RESET = "registry.reset_application"
View = Callable[..., HttpResponse]
# Less than the 5 s after which pages ask again. A shared answer takes 2 ms, a new one 30 to 60.
SHARED_S = 4


def application_for(request: HttpRequest, name: str, *needs: str) -> Application:
    """Return the application, for a person who has these permissions and sees it."""
    if not may(request, *needs):
        raise PermissionDenied
    return get_object_or_404(applications_for(request).with_everything(), name=name)


def may(request: HttpRequest, *needs: str) -> bool:
    return admin.site.has_permission(request) and request.user.has_perms(needs)


def actor(request: HttpRequest) -> Actor:
    """Return who does what this request asks for; admin views only see signed-in users."""
    return Actor.of_user(cast(User, request.user), address=address_of(request))


def shared(view: View) -> View:
    """Let viewers with the same rights share what a page asks for again every few seconds."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "GET" or "HX-Request" not in request.headers:
            return view(request, *args, **kwargs)
        user = cast(User, request.user)
        rights = user.is_superuser or frozenset(user.get_all_permissions())
        key = f"shared:{hash((request.get_full_path(), rights, bound_to(request)))}"
        if (content := cache.get(key)) is None:
            if not isinstance(found := view(request, *args, **kwargs), TemplateResponse):
                return found
            content = found.render().content
            cache.set(key, content, SHARED_S)
        return HttpResponse(content)

    return answer


def frame(request: HttpRequest, application: Application, *, title: str) -> dict[str, Any]:
    """Return what the hub's template needs around a tab's contents."""
    match = request.resolver_match
    return {
        **admin.site.each_context(request),
        "title": title,
        "opts": Application._meta,
        "original": application,
        "application": application,
        "here": match.kwargs.get("path", "") if match else "",
        "tabs": [(page.path, page.title, page.url(application.name)) for page in APPLICATION_PAGES],
    }


def tab_of(
    request: HttpRequest, application: Application, template: str, *, title: str, **context: Any
) -> TemplateResponse:
    """Answer with a page of an application's hub."""
    shown = {**frame(request, application, title=title), **context}
    return TemplateResponse(request, f"console/{template}.html", shown)


def page_with(
    request: HttpRequest, template: str, *, title: str, **context: Any
) -> TemplateResponse:
    """Answer with a page that belongs to no application."""
    shown = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"console/{template}.html", shown)

"""Permissions of the console's pages, and the frame of an application's hub."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from console.application_pages import APPLICATION_PAGES
from registry.api.visibility import applications_for
from registry.models import Application
from registry.security.throttle import address_of
from registry.services import Actor

VIEW, CHANGE = "registry.view_application", "registry.change_application"
RESET = "registry.reset_application"


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

"""Applications, their objective and their routes."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from registry import services
from registry.api.permissions import actor_of, check_person, needs
from registry.api.serializers import (
    AS_DECLARED,
    SIGNATURE_HELP,
    ApplicationOut,
    ApplicationPatch,
    DeclaredApplication,
    DeclaredApplicationOut,
    NewApplication,
    ObjectiveChange,
    ObjectiveOut,
    RouteIn,
    RouteOut,
)
from registry.api.views.management_view import ManagementView, etag, find_application, flag, schema
from registry.api.visibility import applications_for, check_urgency
from registry.services import Actor
from registry.services.models import Declared
from registry.services.signatures import ALLOW


class ApplicationsView(ManagementView):
    for_bound_keys = ("GET",)
    permissions = needs("application")

    @schema("List the applications", answer=ApplicationOut(many=True), paged=True)
    def get(self, request: Request) -> Response:
        return self.listing(applications_for(request).with_everything(), shape=ApplicationOut)

    @schema("Create an application", body=NewApplication, answer=ApplicationOut, status=201)
    def post(self, request: Request) -> Response:
        body = self.body(NewApplication)
        created = services.create_application(by=actor_of(request), **body)
        shown = find_application(request, name=created.name)
        return self.created(shown, ApplicationOut, name=shown.name)


class ApplicationView(ManagementView):
    for_bound_keys = ("GET", "PUT", "PATCH", "DELETE")
    permissions = needs("application") | {
        "PUT": (
            "registry.add_application",
            "registry.change_application",
            "registry.change_servicelevelobjective",
            "registry.change_route",
        )
    }

    @schema("Read an application", answer=ApplicationOut)
    def get(self, request: Request, application: str) -> Response:
        return self.shown(find_application(request, name=application), ApplicationOut)

    @schema(
        "Make an application what is declared",
        body=DeclaredApplication,
        answer=DeclaredApplicationOut,
        created=True,
    )
    def put(self, request: Request, application: str) -> Response:
        declared = declare_application(self, application, by=actor_of(request))
        shown = find_application(request, name=application)
        changed = [AS_DECLARED.get(name, name) for name in declared.changed]
        return self.declared(shown, ApplicationOut, created=declared.created, changed=changed)

    @schema("Change an application", body=ApplicationPatch, answer=ApplicationOut)
    def patch(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        changes, objective = self.validated(ApplicationPatch).changes()
        if objective:
            check_person(request, needed=ObjectiveView.permissions["PATCH"])
        check_urgency(request, application=found, changes=changes | objective)
        by = actor_of(request)
        with self.if_unchanged(found):
            if changes or not objective:
                services.update_application(application=found, changes=changes, by=by)
            if objective:
                services.set_objective(application=found, by=by, **objective)
        return self.shown(find_application(request, name=application), ApplicationOut)

    @schema("Delete an application", status=204)
    def delete(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        with self.if_unchanged(found):
            services.delete_application(application=found, by=actor_of(request))
        return Response(status=204)


def declare_application(
    view: ManagementView, name: str, *, by: Actor, data: Mapping[str, Any] | None = None
) -> Declared:
    """Make an application what the request's body, or `data`, says, as far as the caller may."""
    found = view.declared_row(find_application, name=name)
    wanted = view.validated(DeclaredApplication, data).declared()
    if found is not None:
        check_urgency(view.request, application=found, changes=wanted["fields"])
    with view.if_unchanged(found):
        return services.declare_application(name=name, application=found, by=by, **wanted)


class ObjectiveView(ManagementView):
    for_bound_keys = ("GET", "PATCH")
    permissions = needs("servicelevelobjective")

    @schema("Read an application's objective", answer=ObjectiveOut)
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        return Response(ObjectiveOut(found.slo).data, headers=etag(found))

    @schema("Change an application's objective", body=ObjectiveChange, answer=ObjectiveOut)
    def patch(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        changes = self.body(ObjectiveChange)
        check_urgency(request, application=found, changes=changes)
        with self.if_unchanged(found):
            slo = services.set_objective(application=found, by=actor_of(request), **changes)
        return Response(ObjectiveOut(slo).data, headers=etag(found))


class RoutesView(ManagementView):
    for_bound_keys = ("GET", "PUT")
    permissions = needs("route")

    @schema("List an application's routes", answer=RouteOut(many=True))
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        return Response(RouteOut(found.routes.all(), many=True).data, headers=etag(found))

    @schema(
        "Replace an application's routes",
        body=RouteIn(many=True),
        answer=RouteOut(many=True),
        parameters=[OpenApiParameter(ALLOW, bool, description=SIGNATURE_HELP)],
    )
    def put(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        if not isinstance(request.data, list):
            raise BadRequest("Expected an array of routes.")
        wanted = RouteIn(data=request.data, many=True)
        wanted.is_valid(raise_exception=True)
        routes = wanted.validated_data
        allowed = {ALLOW: flag(request, ALLOW)}
        with self.if_unchanged(found):
            services.replace_routes(
                application=found, routes=routes, by=actor_of(request), **allowed
            )
        shown = RouteOut(found.routes.with_versions(), many=True).data
        return Response(shown, headers=etag(found))

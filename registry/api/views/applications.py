"""Applications, their objective and their routes."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from registry import services
from registry.api.permissions import bound_to
from registry.api.serializers import (
    ApplicationOut,
    ApplicationPatch,
    NewApplication,
    ObjectiveChange,
    ObjectiveOut,
    RouteIn,
    RouteOut,
    route_requests,
)
from registry.api.views.base import ManagementView, find_application, schema
from registry.errors import BadRequest
from registry.models import Application


class ApplicationsView(ManagementView):
    for_bound_keys = ("GET", "HEAD")
    permissions: ClassVar[dict[str, str]] = {"POST": "registry.add_application"}

    @schema("List the applications", answer=ApplicationOut(many=True), paged=True)
    def get(self, request: Request) -> Response:
        rows = Application.objects.with_everything()
        allowed = bound_to(request)
        if allowed is not None:
            rows = rows.filter(pk__in=allowed)
        return self.listing(rows, shape=ApplicationOut)

    @schema("Create an application", body=NewApplication, answer=ApplicationOut, status=201)
    def post(self, request: Request) -> Response:
        fields = self.body(NewApplication)
        routes = route_requests(fields.pop("routes", []))
        created = services.create_application(routes=routes, **fields)
        shown = find_application(request, name=created.name)
        return Response(
            ApplicationOut(shown).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": f"{request.path.rstrip('/')}/{created.name}"},
        )


class ApplicationView(ManagementView):
    for_bound_keys = ("GET", "HEAD", "PATCH", "DELETE")
    permissions: ClassVar[dict[str, str]] = {
        "PATCH": "registry.change_application",
        "DELETE": "registry.delete_application",
    }

    @schema("Read an application", answer=ApplicationOut)
    def get(self, request: Request, application: str) -> Response:
        return Response(ApplicationOut(find_application(request, name=application)).data)

    @schema("Change an application", body=ApplicationPatch, answer=ApplicationOut)
    def patch(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        services.update_application(
            application=found, changes=self.validated(ApplicationPatch).changes()
        )
        return Response(ApplicationOut(find_application(request, name=application)).data)

    @schema("Delete an application", status=204)
    def delete(self, request: Request, application: str) -> Response:
        services.delete_application(application=find_application(request, name=application))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ObjectiveView(ManagementView):
    for_bound_keys = ("GET", "HEAD", "PATCH")
    permissions: ClassVar[dict[str, str]] = {"PATCH": "registry.change_servicelevelobjective"}

    @schema("Read an application's objective", answer=ObjectiveOut)
    def get(self, request: Request, application: str) -> Response:
        return Response(ObjectiveOut(find_application(request, name=application).slo).data)

    @schema("Change an application's objective", body=ObjectiveChange, answer=ObjectiveOut)
    def patch(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        changes = self.body(ObjectiveChange)
        return Response(ObjectiveOut(services.set_objective(application=found, **changes)).data)


class RoutesView(ManagementView):
    for_bound_keys = ("GET", "HEAD", "PUT")
    permissions: ClassVar[dict[str, str]] = {"PUT": "registry.change_route"}

    @schema("List an application's routes", answer=RouteOut(many=True))
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        return Response(RouteOut(found.routes.all(), many=True).data)

    @schema("Replace an application's routes", body=RouteIn(many=True), answer=RouteOut(many=True))
    def put(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        if not isinstance(request.data, list):
            raise BadRequest("Expected an array of routes.")
        wanted = RouteIn(data=request.data, many=True)
        wanted.is_valid(raise_exception=True)
        services.replace_routes(application=found, routes=route_requests(wanted.validated_data))
        return Response(RouteOut(found.routes.with_versions(), many=True).data)

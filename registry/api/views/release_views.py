"""Deploying, rolling back, and the history of both."""

from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotFound
from registry import services
from registry.api.permissions import actor_of, needs
from registry.api.serializers import Deploy, ReleaseOut, RollBack
from registry.api.views.management_view import ManagementView, find_model, find_version, schema
from registry.models import Release


class DeployView(ManagementView):
    for_bound_keys = ("POST",)
    permissions = needs("model", POST="change")

    @schema("Deploy a version", body=Deploy, answer=ReleaseOut, status=202)
    def post(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version, to_change=True)
        release = services.deploy(version=found, by=actor_of(request), **self.body(Deploy))
        return accepted(request, release=release)


class RollBackView(ManagementView):
    for_bound_keys = ("POST",)
    permissions = needs("model", POST="roll_back")

    @schema("Make an earlier version live again", body=RollBack, answer=ReleaseOut, status=202)
    def post(self, request: Request, model: str) -> Response:
        found = find_model(request, name=model, to_change=True)
        wanted = self.body(RollBack)
        to = None
        if "to" in wanted:
            to = find_version(request, model=model, version=wanted.pop("to"))
        release = services.roll_back(model=found, to=to, by=actor_of(request), **wanted)
        return accepted(request, release=release)


class ReleasesView(ManagementView):
    for_bound_keys = ("GET",)
    permissions = needs("release")

    @schema("List a model's releases, newest first", answer=ReleaseOut(many=True), paged=True)
    def get(self, request: Request, model: str) -> Response:
        rows = Release.objects.filter(model=find_model(request, name=model)).with_versions()
        return self.listing(rows, shape=ReleaseOut)


class ReleaseView(ManagementView):
    for_bound_keys = ("GET",)
    permissions = needs("release")

    @schema("Read a release", answer=ReleaseOut)
    def get(self, request: Request, model: str, release: int) -> Response:
        rows = Release.objects.filter(model=find_model(request, name=model)).with_versions()
        found = rows.filter(pk=release).first()
        if found is None:
            raise NotFound(f"{model} has no release {release}.", model=model, release=release)
        return Response(ReleaseOut(found).data)


def accepted(request: Request, *, release: Release) -> Response:
    """Answer 202 with the release and its address."""
    start, _, _ = request.path.partition(f"/models/{release.model_name}/")
    return Response(
        ReleaseOut(release).data,
        status=202,
        headers={"Location": f"{start}/models/{release.model_name}/releases/{release.pk}"},
    )

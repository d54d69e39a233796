"""Deploying, rolling back, and the history of both."""

from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Forbidden, NotFound
from registry import services
from registry.api.permissions import actor_of, needs
from registry.api.serializers import Deploy, ReleaseOut, RollBack, RolloutAct, RolloutOut
from registry.api.views.management_view import ManagementView, find_model, find_version, schema
from registry.models import Release, Rollout


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


class RolloutsView(ManagementView):
    for_bound_keys = ("GET",)
    permissions = needs("release")

    @schema("List a model's rollouts, newest first", answer=RolloutOut(many=True), paged=True)
    def get(self, request: Request, model: str) -> Response:
        rows = Rollout.objects.filter(model=find_model(request, name=model)).with_release()
        return self.listing(rows, shape=RolloutOut)


class RolloutView(ManagementView):
    for_bound_keys = ("GET", "POST")
    permissions = needs("release") | {"POST": needs("model", POST="roll_back")["POST"]}

    @schema("Read a rollout, with what its gates have found", answer=RolloutOut)
    def get(self, request: Request, model: str, rollout: int) -> Response:
        return Response(RolloutOut(_rollout(request, model=model, rollout=rollout)).data)

    @schema("Pause, resume, promote or abort a rollout", body=RolloutAct, answer=RolloutOut)
    def post(self, request: Request, model: str, rollout: int) -> Response:
        found = _rollout(request, model=model, rollout=rollout, to_change=True)
        body, by = self.body(RolloutAct), actor_of(request)
        act = services.rollout_act(body.pop("action"))
        if request.auth is None and not request.user.has_perm(act.permission):
            raise Forbidden(f"This takes the permission {act.permission}.")
        changed = services.act_on_rollout(found, act, by=by, **body)
        return Response(RolloutOut(changed).data)


def _rollout(request: Request, *, model: str, rollout: int, to_change: bool = False) -> Rollout:
    owner = find_model(request, name=model, to_change=to_change)
    found = Rollout.objects.filter(model=owner).with_release().filter(pk=rollout).first()
    if found is None:
        raise NotFound(f"{model} has no rollout {rollout}.", model=model, rollout=rollout)
    return found


def accepted(request: Request, *, release: Release) -> Response:
    """Answer 202 with the release and its address."""
    start, _, _ = request.path.partition(f"/models/{release.model_name}/")
    return Response(
        ReleaseOut(release).data,
        status=202,
        headers={"Location": f"{start}/models/{release.model_name}/releases/{release.pk}"},
    )

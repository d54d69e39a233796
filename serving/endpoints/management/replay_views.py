"""Replays of captured queries: begun, listed, read and cancelled."""

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotFound
from registry.api.fields import Body, Text
from registry.api.permissions import Permissions, actor_of
from registry.api.timestamps import PastMoment, check_period
from registry.api.views.management_view import (
    ManagementView,
    find_application,
    find_version,
    schema,
)
from registry.api.visibility import applications_for
from serving.capture.models import CapturedInput, TrafficReplay
from serving.capture.replay_sums import sums_in
from serving.capture.segments import body_of
from serving.capture.services import act_on_replay, begin_replay

MAY: Permissions = {
    "GET": ("capture.view_capturedinput",),
    "POST": ("capture.view_capturedinput", "capture.add_trafficreplay"),
}


class Replaying(Body):
    application = Text(help_text="Application whose captured queries are asked again.")
    since = PastMoment(required=False, help_text="Those from then on.")
    until = PastMoment(required=False, help_text="Those before.")
    set = Text(required=False, help_text="Those of a named set alone.")


class ReplayAct(Body):
    action = Text(help_text="cancel or resume.")


class ReplayOut(serializers.ModelSerializer[TrafficReplay]):
    application = serializers.CharField(source="application.name")
    model = serializers.CharField(source="version.model.name")
    version = serializers.CharField(source="version.version")
    set = serializers.CharField(source="set_name")
    state = serializers.CharField(help_text="queued, running, done, cancelled or failed.")
    result = serializers.SerializerMethodField(
        help_text="Agreement with the answers given and the live version's, the gain in reward "
        "with an interval that holds at any look, times in the model, and the matrix of answers."
    )

    class Meta:
        model = TrafficReplay
        fields: tuple[str, ...] = (
            *("id", "application", "model", "version", "set", "since", "until", "state", "error"),
            *("by", "created_at", "ended_at", "total", "done", "result"),
        )

    def get_result(self, replay: TrafficReplay) -> dict[str, Any]:
        return sums_in(replay.sums).summary()


class ReplayWhole(ReplayOut):
    changed = serializers.SerializerMethodField(
        help_text="The first 100 rows with another answer: then, of the live version, and now."
    )
    failures = serializers.SerializerMethodField(help_text="The first rows without an answer.")

    class Meta(ReplayOut.Meta):
        fields = (*ReplayOut.Meta.fields, "changed", "failures")

    def get_changed(self, replay: TrafficReplay) -> list[dict[str, Any]]:
        """Add the inputs, of rows that are still there."""
        changed = sums_in(replay.sums).changed
        rows = CapturedInput.objects.in_bulk([each["row"] for each in changed])
        return [
            each | {"input": _input_of(rows[each["row"]])}
            for each in changed
            if each["row"] in rows
        ]

    def get_failures(self, replay: TrafficReplay) -> list[dict[str, Any]]:
        return sums_in(replay.sums).errors


class ReplaysView(ManagementView):
    for_bound_keys = ("GET", "POST")
    permissions: ClassVar[Permissions] = MAY

    @schema("List a version's replays, newest first", answer=ReplayOut(many=True), paged=True)
    def get(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version)
        rows = TrafficReplay.objects.filter(
            version=found, application__in=applications_for(request)
        )
        return self.listing(rows.select_related("application", "version__model"), shape=ReplayOut)

    @schema(
        "Ask a version about captured queries again", body=Replaying, answer=ReplayOut, status=201
    )
    def post(self, request: Request, model: str, version: str) -> Response:
        found = find_version(request, model=model, version=version, to_change=True)
        body = self.body(Replaying)
        application = find_application(request, name=body["application"])
        since, until = body.get("since"), body.get("until")
        check_period(since=since, until=until)
        replay = begin_replay(
            application=application,
            version=found,
            by=actor_of(request),
            since=since,
            until=until,
            set_name=body.get("set", ""),
        )
        return self.created(replay, ReplayOut, name=replay.pk)


class ReplayView(ManagementView):
    for_bound_keys = ("GET", "POST")
    permissions: ClassVar[Permissions] = MAY

    @schema("Read a replay, with the rows that changed", answer=ReplayWhole)
    def get(self, request: Request, model: str, version: str, replay: int) -> Response:
        return Response(ReplayWhole(_replay(request, model, version, replay)).data)

    @schema("Cancel or resume", body=ReplayAct, answer=ReplayOut, operation="models_replays_cancel")
    def post(self, request: Request, model: str, version: str, replay: int) -> Response:
        action = self.body(ReplayAct)["action"]
        found = _replay(request, model, version, replay, to_change=True)
        return Response(ReplayOut(act_on_replay(found, action, by=actor_of(request))).data)


def _replay(
    request: Request, model: str, version: str, number: int, *, to_change: bool = False
) -> TrafficReplay:
    found = find_version(request, model=model, version=version, to_change=to_change)
    rows = TrafficReplay.objects.filter(version=found, application__in=applications_for(request))
    replay = rows.select_related("application", "version__model").filter(pk=number).first()
    if replay is None:
        raise NotFound(f"{found} has no replay {number}.", replay=number)
    return replay


def _input_of(row: CapturedInput) -> str:
    try:
        return bytes(body_of(row).input).decode()[:2000]
    except Exception as error:  # noqa: BLE001  (whatever is wrong with it, the others are shown)
        return f"This row can't be read: {error}"[:2000]

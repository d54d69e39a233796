"""Alerts and their channels: read, muted, made, tested."""

from typing import Any, ClassVar, cast

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotFound
from registry.api.fields import Body, Flag, SecretText, Text
from registry.api.permissions import Permissions, actor_of
from registry.api.timestamps import Moment
from registry.api.views.management_view import ManagementView, find_application, schema
from registry.api.visibility import bound_to
from registry.security.grants import within
from serving.alerts.alert_states import mute
from serving.alerts.channels import create_channel, delete_channel, update_channel
from serving.alerts.models import Alert, AlertQuerySet, Channel
from serving.alerts.outbox import event_of, queue_test


class AlertOut(serializers.ModelSerializer[Alert]):
    """One alert; `application` is "" for those of the stack itself."""

    application, title, severity, what_to_do, suspect = (serializers.CharField() for _ in range(5))

    class Meta:
        model = Alert
        fields = (
            *("id", "state", "application", "rule", "subject", "title", "severity", "sentence"),
            *("since", "resolved_at", "what_to_do", "suspect", "fired_at", "muted_until"),
        )

    def to_representation(self, alert: Alert) -> dict[str, Any]:
        return {**event_of(alert), "fired_at": alert.fired_at, "muted_until": alert.muted_until}


class AlertPatch(Body):
    muted_until = Moment(allow_null=True, help_text="Nothing is sent until then. null: unmute.")


class ChannelOut(serializers.ModelSerializer[Channel]):
    """A channel; `target` is what may be shown of it."""

    kind = serializers.CharField()
    target = serializers.CharField(source="shown")

    class Meta:
        model = Channel
        fields = ("id", "name", "kind", "target", "enabled", "problem", "created_at", "created_by")


class NewChannel(Body):
    name = Text(max_length=63)
    kind = Text(help_text=f"One of {', '.join(Channel.Kind.values)}.")
    target = SecretText(help_text="Mail addresses, separated by commas, or a URL.")


class ChannelPatch(Body):
    name = Text(required=False, max_length=63)
    target = SecretText(required=False)
    enabled = Flag(required=False)


class ChannelTestOut(serializers.Serializer[Any]):
    """The id of the message, which the receiver gets as well."""

    message = serializers.CharField()


class AlertsView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("alerts.view_alert",)}

    @schema(
        "List the alerts, newest first",
        answer=AlertOut(many=True),
        paged=True,
        parameters=[OpenApiParameter(name, str) for name in ("state", "application")],
    )
    def get(self, request: Request) -> Response:
        rows, asked = alerts_for(request), request.query_params
        if "state" in asked:
            rows = rows.filter(state=asked["state"])
        if "application" in asked:
            rows = rows.filter(application=find_application(request, name=asked["application"]))
        return self.listing(rows.select_related("application"), shape=AlertOut)


class AlertView(ManagementView):
    for_bound_keys = ("GET", "PATCH")
    permissions: ClassVar[Permissions] = {
        "GET": ("alerts.view_alert",),
        "PATCH": ("alerts.change_alert",),
    }

    @schema("Read an alert", answer=AlertOut)
    def get(self, request: Request, alert: int) -> Response:
        return Response(AlertOut(_found(request, alert)).data)

    @schema("Mute an alert until some time", body=AlertPatch, answer=AlertOut)
    def patch(self, request: Request, alert: int) -> Response:
        found = _found(request, alert)
        mute(found, until=self.body(AlertPatch)["muted_until"], by=actor_of(request))
        return Response(AlertOut(found).data)


class ChannelsView(ManagementView):
    permissions: ClassVar[Permissions] = {
        "GET": ("alerts.view_channel",),
        "POST": ("alerts.add_channel",),
    }

    @schema("List the channels of alerts", answer=ChannelOut(many=True), paged=True)
    def get(self, request: Request) -> Response:
        return self.listing(Channel.objects.all(), shape=ChannelOut)

    @schema("Make a channel; its `secret` is shown once", body=NewChannel, answer=ChannelOut)
    def post(self, request: Request) -> Response:
        channel, secret = create_channel(**self.body(NewChannel), by=actor_of(request))
        answer = self.created(channel, ChannelOut, name=channel.pk)
        answer.data["secret"] = secret
        answer["Cache-Control"] = "no-store"
        return answer


class ChannelView(ManagementView):
    permissions: ClassVar[Permissions] = {
        "PATCH": ("alerts.change_channel",),
        "DELETE": ("alerts.delete_channel",),
    }

    @schema("Change a channel", body=ChannelPatch, answer=ChannelOut)
    def patch(self, request: Request, channel: int) -> Response:
        found = _channel(channel)
        update_channel(found, changes=self.body(ChannelPatch), by=actor_of(request))
        return Response(ChannelOut(found).data)

    @schema("Delete a channel with its messages", status=204)
    def delete(self, request: Request, channel: int) -> Response:
        delete_channel(_channel(channel), by=actor_of(request))
        return Response(status=204)


class ChannelTestView(ManagementView):
    permissions: ClassVar[Permissions] = {"POST": ("alerts.change_channel",)}

    @schema("Send a test message", status=202, answer=ChannelTestOut)
    def post(self, request: Request, channel: int) -> Response:
        message = queue_test(_channel(channel), by=actor_of(request))
        return Response({"message": message.uid}, status=202)


def alerts_for(request: Request | HttpRequest) -> AlertQuerySet:
    """Return the alerts of the caller's applications; the stack's are for those bound to none."""
    return cast(AlertQuerySet, within(Alert.objects.all(), own=bound_to(request)))


def _found(request: Request, number: int) -> Alert:
    found = alerts_for(request).filter(pk=number).first()
    if found is None:
        raise NotFound(f"There is no alert {number}.", alert=number)
    return found


def _channel(number: int) -> Channel:
    found = Channel.objects.filter(pk=number).first()
    if found is None:
        raise NotFound(f"There is no channel {number}.", channel=number)
    return found

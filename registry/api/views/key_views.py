"""API keys: made, shown once, changed and revoked."""

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Forbidden, NotFound
from core.specs import MANAGE, SCOPES
from registry import services
from registry.api.authentication import ApiKeyAuthentication
from registry.api.fields import Body, Flag, Text, optional
from registry.api.permissions import MayJoin, actor_of, needs
from registry.api.timestamps import Moment
from registry.api.views.management_view import ManagementView, find_application, schema
from registry.models import ApiKey

EXPIRY_HELP = "When it stops working, in ISO 8601. null: when it is revoked."
SCOPES_HELP = f"Some of {', '.join(SCOPES)}."


class KeyOut(serializers.ModelSerializer[ApiKey]):
    """`prefix` is how the key begins, `active` whether it works. Its text isn't kept."""

    scopes = serializers.SerializerMethodField()
    run_code = serializers.BooleanField(source="can_run_code")
    applications = serializers.SerializerMethodField(
        help_text="Those that it is bound to. null: it isn't."
    )
    active = serializers.BooleanField(source="is_active")
    created_by = optional("created_by.username")

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "id",
            "name",
            "prefix",
            "scopes",
            "run_code",
            "applications",
            "expires_at",
            "active",
            "revoked_at",
            "created_at",
            "created_by",
        )

    def get_scopes(self, key: ApiKey) -> list[str]:
        return sorted(key.scopes)

    def get_applications(self, key: ApiKey) -> list[str] | None:
        return sorted(str(found) for found in key.applications.all()) if key.bound else None


class NewKeyOut(KeyOut):
    """`key` is what clients send. It is in this answer and nowhere else."""

    key = serializers.CharField()

    class Meta(KeyOut.Meta):
        fields = (*KeyOut.Meta.fields, "key")


class NewKey(Body):
    name = Text(help_text="The user of the key.")
    scopes = serializers.ListField(child=Text(), help_text=SCOPES_HELP)
    applications = serializers.ListField(
        child=Text(),
        required=False,
        allow_empty=False,
        help_text="Only these, one at least. Left out: every application.",
    )
    expires_at = Moment(required=False, allow_null=True, help_text=EXPIRY_HELP)
    run_code = Flag(
        required=False, help_text="May upload and first deploy versions that run code of their own."
    )

    def wanted(self, request: Request) -> dict[str, Any]:
        """Return the body as `create_api_key` takes it."""
        said = dict(self.validated_data)
        names = said.pop("applications", [])
        return {
            "name": said["name"],
            "scopes": said["scopes"],
            "applications": [find_application(request, name=name) for name in names],
            "expires_at": said.get("expires_at"),
            "can_run_code": said.get("run_code", False),
        }


class KeyPatch(Body):
    name = Text(required=False)
    expires_at = Moment(required=False, allow_null=True, help_text=EXPIRY_HELP)


class KeysView(ManagementView):
    """Keys that manage make keys, but none that manages; bound keys see none."""

    permissions = needs("apikey")

    @schema("List the API keys, newest first", answer=KeyOut(many=True), paged=True)
    def get(self, request: Request) -> Response:
        return self.listing(_keys(), shape=KeyOut)

    @schema("Make an API key, which is shown once", body=NewKey, answer=NewKeyOut, status=201)
    def post(self, request: Request) -> Response:
        wanted = self.validated(NewKey).wanted(request)
        key, text = services.create_api_key(by=actor_of(request), **wanted)
        answer = self.created(key, KeyOut, name=key.pk)
        answer.data["key"] = text
        answer["Cache-Control"] = "no-store"
        return answer


class KeyView(ManagementView):
    """A revoked key stays in the list."""

    permissions = needs("apikey", DELETE="change")

    @schema("Read an API key", answer=KeyOut)
    def get(self, request: Request, key: int) -> Response:
        return Response(KeyOut(_found(key)).data)

    @schema("Rename an API key, or let it expire at another time", body=KeyPatch, answer=KeyOut)
    def patch(self, request: Request, key: int) -> Response:
        found = _found(key)
        check_key_changes(request, key=found)
        services.update_api_key(key=found, changes=self.body(KeyPatch), by=actor_of(request))
        return Response(KeyOut(_found(key)).data)

    @schema("Revoke an API key, at once", status=204)
    def delete(self, request: Request, key: int) -> Response:
        found = _found(key)
        check_key_changes(request, key=found)
        services.revoke_api_key(key=found, by=actor_of(request))
        return Response(status=204)


class JoinIn(Body):
    host = Text(max_length=253, help_text="The host's name.")
    release = Text(max_length=40, help_text="Release of Clipper there: expected this one.")


class JoinView(ManagementView):
    """Gives secrets of the stack to hosts: nobody but a join token is answered."""

    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [MayJoin]

    @schema("Give a host what its worker needs", body=JoinIn, answer=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        said, token = self.body(JoinIn), cast("ApiKey", request.auth)
        settings = services.join(token=token, by=actor_of(request), **said)
        return Response(settings, headers={"Cache-Control": "no-store"})


def _keys() -> QuerySet[ApiKey]:
    return ApiKey.objects.select_related("created_by").prefetch_related("applications")


def _found(number: int) -> ApiKey:
    found = _keys().filter(pk=number).first()
    if found is None:
        raise NotFound(f"There is no API key {number}.", key=number)
    return found


def check_key_changes(request: Request, *, key: ApiKey) -> None:
    """Raise Forbidden for a key that would change another one that manages."""
    own = request.auth
    if isinstance(own, ApiKey) and key.can_manage and key.pk != own.pk:
        raise Forbidden(
            f"A key with the scope {MANAGE} is changed and revoked by people, or by itself."
        )

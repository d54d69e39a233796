"""The management API's part in selection: contexts that learned, and forgetting what they did."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest
from core.redis.redis_client import redis_client
from registry.api.permissions import Permissions, actor_of
from registry.api.serializers import ErrorBody
from registry.api.views.management_view import ManagementView, find_application, schema
from selection.context_names import fault_of
from selection.feedback.persistence.resets import forget
from selection.store.learned_contexts import learned_contexts


class ContextOut(serializers.Serializer[Any]):
    """A context that has learned from feedback; `feedback` is over all arms."""

    # A declared field leaves the property of this name alone.
    context = serializers.CharField()  # type: ignore[assignment]
    last_used_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(allow_null=True)
    feedback = serializers.IntegerField()


class ContextsView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_application",)}

    @schema(
        "List the contexts that have learned, last used first",
        answer=ContextOut(many=True),
        paged=True,
    )
    def get(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        limit, offset = self.page()
        contexts, total = learned_contexts(redis_client(), found, limit=limit, offset=offset)
        return Response(ContextOut(contexts, many=True).data, headers={"X-Total-Count": str(total)})


class SelectionView(ManagementView):
    """Reading is the prediction path's business, `serving.endpoints.feedback_endpoints`."""

    for_bound_keys = ("DELETE",)
    permissions: ClassVar[Permissions] = {"DELETE": ("registry.reset_application",)}

    @extend_schema(
        summary="Forget what was learned in one context, or in all",
        request=None,
        responses={204: None, "default": ErrorBody},
        parameters=[
            OpenApiParameter("context", str, description="Empty: the global one."),
            OpenApiParameter("all", bool, description="true: every one, the global one too."),
        ],
    )
    def delete(self, request: Request, application: str) -> Response:
        found = find_application(request, name=application)
        context = _parse_context(request)
        forget(redis_client(), found, context=context, by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _parse_context(request: Request) -> str | None:
    """Return the context to reset, None for all. Raises BadRequest unless just one was asked."""
    given: dict[str, Any] = {name: request.query_params[name] for name in request.query_params}
    if given == {"all": "true"}:
        return None
    if given.keys() != {"context"}:
        shown = request.META.get("QUERY_STRING") or "nothing"
        raise BadRequest(f"Expected context=… (empty: the global one) or all=true, got {shown}.")
    context = str(given["context"])
    if (fault := fault_of(context)) is not None:
        raise BadRequest(f"{fault}.")
    return context

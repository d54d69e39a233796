"""Uploads of artifacts: permission, and the file that Django writes meanwhile."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from rest_framework.request import Request

from core.errors import BadRequest, ClipperError
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.disk_space import need_room
from registry.artifacts.incoming import IncomingArtifact

# The views that take an artifact, by the names of their URLs.
UPLOADS = frozenset({"api-versions", "admin:registry_modelversion_add", "console-new-application"})
# The entry of an ASGI scope whose value wants to know of files that arrive.
SCOPE_KEY = "clipper.upload"


def takes_uploads(path: str) -> bool:
    try:
        return resolve(path).view_name in UPLOADS
    except Resolver404:
        return False


def admit(request: HttpRequest) -> None:
    """Raise Unauthenticated or Forbidden before the body is read."""
    from registry.api.authentication import ApiKeyAuthentication
    from registry.api.permissions import MayManage
    from registry.api.views.model_views import VersionsView

    if not hasattr(request, "session"):
        engine = import_module(settings.SESSION_ENGINE)
        request.session = engine.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    view = VersionsView()
    view.request = asking = Request(request)
    by_key = ApiKeyAuthentication().authenticate(asking)
    asking.user, asking.auth = by_key or (get_user(request), None)
    MayManage().has_permission(asking, view)


class ArtifactUploadHandler(FileUploadHandler):
    """Writes files of admitted uploads where they will stay, and skips all others."""

    chunk_size = 1 << 20

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._incoming: IncomingArtifact | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if not _is_admitted(self.request):
            raise SkipFile
        self._incoming = incoming = ArtifactStore.default().incoming()
        try:
            need_room(0)
        except ClipperError as error:
            incoming.fault = error
        # It closes an upload whose rest never comes.
        watcher = getattr(self.request, "scope", {}).get(SCOPE_KEY)
        if watcher is not None:
            watcher.watch(incoming)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self._incoming is not None:
            self._incoming.append(raw_data)

    def file_complete(self, file_size: int) -> IncomingArtifact | None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.name, incoming.content_type = self.file_name, self.content_type
            # What was refused is no empty file: its size stays that of what came.
            incoming.size = file_size
            incoming.seek(0)
        return incoming

    def upload_complete(self) -> None:
        """Raise BadRequest if the form ended within the file."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.close()
            raise BadRequest(
                "artifact: Expected a whole file, got the beginning of one: the form ends after "
                f"{incoming.received} bytes of it.",
                fields=["artifact"],
            )


def _is_admitted(request: Any) -> bool:
    if request is None or not takes_uploads(request.path):
        return False
    try:
        admit(request)
    except ClipperError:
        return False
    return True

"""What an operator does over REST: register a model, upload a version, deploy it, route to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

RELEASE_SECONDS = 120.0
LOOK_AGAIN_SECONDS = 0.2


class ManagementFailed(Exception):
    """The management API refused something, or a release failed."""


class Operator:
    """A client of the management API that stops at the first refusal."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def publish(
        self,
        *,
        model: str,
        version: str,
        input_type: str,
        artifact: bytes,
        runtime: str = "sklearn",
        file: str = "model.skops",
    ) -> None:
        """Register the model with one version, and return when that version is live."""
        self._post("/api/v1/models/", json={"name": model, "input_type": input_type})
        self.upload(model, version=version, artifact=artifact, runtime=runtime, file=file)
        self.deploy(model, version=version)

    def upload(
        self,
        model: str,
        *,
        version: str,
        artifact: bytes,
        runtime: str = "sklearn",
        file: str = "model.skops",
    ) -> None:
        """Register one more version of a model, without deploying it."""
        self._post(
            f"/api/v1/models/{model}/versions/",
            data={"version": version, "runtime": runtime},
            files={"artifact": (file, artifact)},
        )

    def deploy(self, model: str, *, version: str) -> None:
        """Return when that version is live."""
        release = self._post(f"/api/v1/models/{model}/versions/{version}/deploy", json={})
        self._wait_until_live(f"/api/v1/models/{model}/releases/{release['id']}")

    def roll_back(self, model: str) -> None:
        """Return when the version that was live before is live again."""
        release = self._post(f"/api/v1/models/{model}/rollback", json={})
        self._wait_until_live(f"/api/v1/models/{model}/releases/{release['id']}")

    def live_version(self, model: str) -> str:
        found: str = self._checked(self._client.get(f"/api/v1/models/{model}"))["live_version"]
        return found

    def scale(self, model: str, *, replicas: int) -> None:
        """Want so many replicas of the live version; they come and go behind it."""
        self._post(f"/api/v1/models/{model}/scale", json={"replicas": replicas})

    def configure(self, model: str, *, version: str, **changes: Any) -> None:
        """Change how a version runs."""
        path = f"/api/v1/models/{model}/versions/{version}"
        self._checked(self._client.patch(path, json=changes))

    def create_application(self, **fields: Any) -> None:
        self._post("/api/v1/applications/", json=fields)

    def application(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._checked(self._client.get(f"/api/v1/applications/{name}"))
        return found

    def replicas(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._checked(self._client.get("/api/v1/replicas/"))
        return found

    def wait_until_answered(self, application: str, *, body: bytes) -> None:
        """Return when a model answers a question, rather than the default output."""
        path = f"/api/v1/applications/{application}/predict"

        def answered() -> bool:
            return not self._checked(self._client.post(path, content=body))["default"]

        _wait(answered, what=f"{application} to be answered by a model")

    def _wait_until_live(self, path: str) -> None:
        def live() -> bool:
            release = self._checked(self._client.get(path))
            if release["state"] in ("failed", "superseded"):
                raise ManagementFailed(f"The release is {release['state']}: {release['error']}")
            return bool(release["state"] == "live")

        _wait(live, what="the release to be live")

    def _post(self, path: str, **content: Any) -> Any:
        return self._checked(self._client.post(path, **content))

    def _checked(self, response: httpx.Response) -> Any:
        if response.is_error:
            raise ManagementFailed(
                f"{response.request.method} {response.request.url.path} answered "
                f"{response.status_code}: {response.text[:500]}"
            )
        return response.json()


def _wait(condition: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + RELEASE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ManagementFailed(f"Waited {RELEASE_SECONDS:.0f} s for {what}.")
        time.sleep(LOOK_AGAIN_SECONDS)

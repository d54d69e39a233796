"""Somebody at the console: signs in, and looks at the pages that an operator keeps open."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from benchmarks.quick import DIGITS, LINEAR

LOGIN = "/admin/login/"
SESSION, FORGERY = "clipper_session", "clipper_csrf"
# The live page asks for its numbers every two seconds, so between any two other pages.
LIVE, POLLED = "/admin/", "/admin/live.json"
LISTS = ("application", "model", "modelversion", "release", "apikey")
SECONDS = 30.0


class SignInFailed(Exception):
    """The console did not take the demo's own password."""


class Console:
    """A browser's session, without the browser."""

    def __init__(self, url: str, *, demo: Path) -> None:
        self._client = httpx.Client(base_url=url, timeout=SECONDS)
        self._demo = demo

    def sign_in(self) -> None:
        """Once; later it is signed in already."""
        if self._cookie(SESSION):
            return
        demo = json.loads(self._demo.read_text())
        self._client.get(LOGIN).raise_for_status()
        self._client.post(
            LOGIN,
            data={
                "username": demo["admin_user"],
                "password": demo["admin_password"],
                "csrfmiddlewaretoken": self._cookie(FORGERY),
                "next": LIVE,
            },
            headers={"Referer": str(self._client.base_url)},
        )
        if not self._cookie(SESSION):
            raise SignInFailed("the console did not take the demo's password")

    def _cookie(self, name: str) -> str:
        """The names of the console's cookies end in the port of the stack."""
        cookies = self._client.cookies.items()
        return next((value for key, value in cookies if key.startswith(name)), "")

    def pages(self) -> list[str]:
        """All pages, each other one the live page's numbers."""
        others = [LIVE, *(f"/admin/registry/{name}/" for name in LISTS)]
        for name in (DIGITS, LINEAR):
            page = f"/admin/applications/{name}"
            others += [f"{page}/monitoring/", f"{page}/monitoring.json", f"{page}/contexts/"]
        return [page for other in others for page in (other, POLLED)]

    def look(self, page: str) -> None:
        self._client.get(page).raise_for_status()

"""A request to the console goes to a thread once, and back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.deprecation import MiddlewareMixin
from pytest_django.fixtures import Settings

from clipper_site.uploads import UploadHandlingASGIHandler

PATH = "/whose-thread/"
# Which step, whether it was asked to be asynchronous, in which thread.
seen: list[tuple[str, bool, int]] = []


class Noting(MiddlewareMixin):
    """Can be asynchronous, as all of Django's; notes what it is asked to be, and where."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self._is_async = iscoroutinefunction(get_response)

    def process_request(self, request: HttpRequest) -> None:
        seen.append(("request", self._is_async, threading.get_ident()))

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        seen.append(("response", self._is_async, threading.get_ident()))
        return response


def view(request: HttpRequest) -> HttpResponse:
    seen.append(("view", False, threading.get_ident()))
    return HttpResponse("here")


urlpatterns = [path(PATH.lstrip("/"), view)]


@pytest.mark.urls(__name__)
@pytest.mark.django_db(transaction=True)
async def test_middleware_runs_with_its_view_in_one_thread(settings: Settings) -> None:
    seen.clear()
    settings.MIDDLEWARE = [f"{__name__}.Noting", *settings.MIDDLEWARE, f"{__name__}.Noting"]
    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    asked = ApplicationCommunicator(UploadHandlingASGIHandler(), scope)
    await asked.send_input({"type": "http.request", "body": b""})
    started = await asked.receive_output(timeout=60)
    answered = await asked.receive_output(timeout=60)
    await asked.wait(timeout=60)

    assert (started["status"], answered["body"]) == (200, b"here")
    steps = ["request", "request", "view", "response", "response"]
    assert [step for step, _, _ in seen] == steps
    assert not any(is_async for _, is_async, _ in seen)
    (thread,) = {thread for _, _, thread in seen}
    assert thread != threading.get_ident()

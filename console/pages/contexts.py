"""The console's page on what an application has learned: context by context, and forgetting it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console.access import RESET, VIEW, actor, application_for, tab_of
from console.words import formats
from console.words.verdict import pictured, recommended
from core.errors import ClipperError
from core.redis.redis_client import redis_client
from registry.models import Application
from selection.context_names import GLOBAL_CONTEXT, fault_of
from selection.feedback.persistence.resets import forget
from selection.store.learned_contexts import LearnedContext, describe_context, learned_contexts

PAGE_SIZE = 50


def contexts(request: HttpRequest, name: str) -> HttpResponse:
    """Show what one context has learned, and those that have learned anything."""
    application = application_for(request, name, VIEW)
    chosen = request.GET.get("context", GLOBAL_CONTEXT)
    number = _page_number(request)
    problem, state, rows, total = fault_of(chosen) or "", None, list[LearnedContext](), 0
    if not problem:
        try:
            state = describe_context(redis_client(), application, context=chosen)
            rows, total = learned_contexts(
                redis_client(), application, limit=PAGE_SIZE, offset=(number - 1) * PAGE_SIZE
            )
        except ClipperError as error:
            problem = error.message
    return tab_of(
        request,
        application,
        "contexts",
        title=f"{application}: contexts",
        problem=problem,
        chosen=chosen,
        state=state and _state(state),
        rows=[_row(row) for row in rows],
        total=f"{total:,} of at most {application.max_contexts:,}",
        older=number + 1 if number * PAGE_SIZE < total else None,
        newer=number - 1 if number > 1 else None,
        resets=application.resets.all()[:5],
        may_reset=request.user.has_perm(RESET),
        reset_one=f"reset/?{urlencode({'context': chosen})}",
    )


def reset(request: HttpRequest, name: str) -> HttpResponse:
    """Show what would be forgotten; a POST has it forgotten."""
    application = application_for(request, name, RESET)
    everything = "all" in request.GET
    context = request.GET.get("context", GLOBAL_CONTEXT)
    try:
        if request.method == "POST":
            _reset(request, application, context=None if everything else context)
            return HttpResponseRedirect(_back(application, context=context))
        _, known = learned_contexts(redis_client(), application, limit=1)
    except ClipperError as error:
        messages.error(request, error.message)
        return HttpResponseRedirect(_back(application, context=context))
    return tab_of(
        request,
        application,
        "confirm_reset",
        title=f"Reset {_what(None if everything else context)}",
        everything=everything,
        context=context,
        known=formats.count(known),
    )


def _reset(request: HttpRequest, application: Application, *, context: str | None) -> None:
    forget(redis_client(), application, context=context, by=actor(request))
    said = f"Reset what was learned in {_what(context)}."
    admin.site.get_model_admin(Application).log_change(request, application, said)
    messages.success(request, f"{said} Queries follow within a second.")


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "")
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 100_000 else 1


def _back(application: Application, *, context: str) -> str:
    page = reverse("console-application-page", args=[application.name, "contexts"])
    return f"{page}?{urlencode({'context': context})}" if context else page


def _what(context: str | None) -> str:
    if context is None:
        return "all contexts"
    return f"the context {context}" if context else "the global context"


def _state(state: Mapping[str, Any]) -> dict[str, Any]:
    intervals = [arm["reward_interval"] for arm in state["arms"]]
    return {
        "policy": state["policy"],
        "reason": state["reason"],
        "verdict": state["recommendation"] and recommended(state["recommendation"]),
        "learned": state["updated_at"] is not None,
        "updated_at": state["updated_at"] and datetime.fromisoformat(state["updated_at"]),
        "arms": [
            {
                "arm": f"{arm['model']}:{arm['version']}",
                "percent": round(arm["weight"] * 100, 1),
                "weight": formats.share(arm["weight"]),
                "probability": formats.share(arm["probability"]),
                "reward": formats.percent(arm["reward"]),
                "interval": picture,
                "low_to_high": formats.interval(interval and tuple(interval.values()))
                or formats.NOTHING,
                "feedback": formats.count(arm["feedback"]),
                "queries": formats.count(arm["queries"]),
            }
            for arm, interval, picture in zip(
                state["arms"], intervals, pictured(intervals), strict=True
            )
        ],
    }


def _row(row: LearnedContext) -> dict[str, Any]:
    return {
        "context": row.context,
        "url": f"?{urlencode({'context': row.context})}",
        "feedback": formats.count(row.feedback),
        "last_used": row.last_used_at,
        "updated_at": row.updated_at,
    }

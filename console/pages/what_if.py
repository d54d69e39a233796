"""The console's page on what other policies, or single arms, would have earned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from console.access import VIEW, application_for, frame
from console.words import formats
from core.errors import ClipperError
from registry.following.reading import application_spec
from registry.models import Application
from selection.evaluation.what_if.feedback_span import Span
from selection.evaluation.what_if.form import WhatIfForm

if TYPE_CHECKING:
    from selection.evaluation.what_if.evaluation import Outlook, Result

# A verdict, as badges show it, and in words.
VERDICTS = {
    "enough": ("live", "yes"),
    "little": ("starting", "can't say yet"),
    "apart": ("starting", "not comparable"),
    "none": ("", "can't say"),
}
METHODS = {"direct": "seen directly", "doubly_robust": "doubly robust"}


def what_if(request: HttpRequest, name: str) -> HttpResponse:
    """Show the usual targets, and a policy that was chosen in the form."""
    application = application_for(request, name, VIEW, "selection.view_feedback")
    form = WhatIfForm(request.GET, application=application_spec(application))
    outlook, problem = _answered(application, form=form)
    return TemplateResponse(
        request,
        "console/what_if.html",
        {
            **frame(request, application, title=f"{application}: what if"),
            "form": form,
            "problem": problem,
            "shown": None if outlook is None else _shown(outlook, form=form),
        },
    )


def _answered(application: Application, *, form: WhatIfForm) -> tuple[Outlook | None, str]:
    if form.is_valid():
        span, target = form.span(now=timezone.now()), form.target()
    else:
        span, target = Span(), None
    # NumPy is for who asks: this page may be opened by nobody.
    from selection.evaluation.what_if.evaluation import what_if as evaluated

    try:
        return evaluated(application, span=span, targets=[target] if target else []), ""
    except ClipperError as error:
        return None, error.message


def _shown(outlook: Outlook, *, form: WhatIfForm) -> dict[str, Any]:
    chosen = form.target() if form.is_valid() else None
    # The chosen policy may be one of those that are shown anyway.
    distinct = {repr(result.target): result for result in outlook.results}
    rows = [_row(result, chosen=result.target == chosen) for result in distinct.values()]
    earned = outlook.earned.value
    return {
        "rows": rows,
        "earned": formats.mean_reward(earned),
        "earned_interval": formats.interval(earned),
        "earned_note": _earned_note(outlook),
        "feedback": f"{outlook.rows:,}",
        "since": outlook.since,
        "until": outlook.until,
        "more": outlook.more,
        "inputs": outlook.inputs,
        "others": outlook.others,
        "whole": f"{outlook.whole:,}" if outlook.whole else "",
        "best": _best(outlook),
        "seconds": f"{outlook.seconds:.1f} s",
        "chart": json.dumps(
            {
                "earned": None if earned is None else earned._asdict(),
                "rows": [row["chart"] for row in rows if row["chart"] is not None],
            }
        ),
    }


def _row(result: Result, *, chosen: bool) -> dict[str, Any]:
    found, target = result.estimate, result.target
    state, words = VERDICTS[found.verdict]
    kind = "arm" if target.arm is not None else "current" if result.current else "policy"
    return {
        "name": target.name,
        "kind": kind,
        "chosen": chosen,
        "reward": formats.mean_reward(found.best),
        "interval": formats.interval(found.best),
        "gain": formats.points(result.gain),
        "gain_interval": formats.points_interval(result.gain),
        "rows": f"{found.rows:,}",
        "effective": f"{found.effective_rows:,.0f}",
        "state": state,
        "verdict": words,
        "explanation": found.explanation,
        "details": _details(result),
        "chart": None
        if found.best is None
        else {
            "name": target.name,
            "kind": "chosen" if chosen else kind,
            "verdict": str(found.verdict),
            **found.best._asdict(),
        },
    }


def _details(result: Result) -> str:
    found = result.estimate
    if found.method is None:
        return ""
    overlap = found.without_overlap
    return formats.listed(
        METHODS[found.method],
        f"largest weight {found.largest_weight:.3g}" if found.largest_weight > 1 else "",
        f"{formats.share(overlap)} of the feedback says nothing of it"
        if overlap and found.verdict != "apart"
        else "",
        "" if found.trained_on is None else f"learned from {found.trained_on:,} of it",
    )


def _earned_note(outlook: Outlook) -> str:
    earned = outlook.earned
    if not earned.rows:
        return "no answer that was given to anybody got feedback"
    if not earned.recombined:
        return f"by {earned.rows:,} answers"
    return f"by {earned.rows:,} answers, {earned.recombined:,} of them combined again"


def _best(outlook: Outlook) -> dict[str, str] | None:
    """Name what would have earned most, if it is more for sure: its whole interval lies above."""
    more = [
        (result.gain, result)
        for result in outlook.results
        if result.gain is not None
        and result.gain.low > 0.0
        and result.estimate.verdict == "enough"
        and not result.current
    ]
    if not more:
        return None
    gain, result = max(more, key=lambda pair: pair[0].value)
    return {"name": result.target.name, "gain": formats.signed(gain.value * 100)}

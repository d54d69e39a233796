"""The queue of captured inputs that people look at and label, and the export of labels."""

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any, cast

import msgspec
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import (
    BooleanField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from console.access import VIEW, actor, application_for, may, tab_of
from console.pages.input_drawing import drawn
from console.pages.try_it import new_pass
from console.words import formats
from core.errors import ClipperError
from core.redis.redis_client import redis_client
from registry.models import Application
from selection.kinds import SAMPLING_CHANCE
from selection.models import Feedback
from selection.store.redis_keys import REDIS_ERRORS
from serving.capture.models import CapturedInput
from serving.capture.problem import problem_now
from serving.capture.segments import body_of
from serving.capture.services import keep_as_set
from serving.metrics.published import read_published

SEE, LABEL = "capture.view_capturedinput", "selection.add_feedback"
CHANGE = "capture.change_capturedinput"
PAGE_SIZE, UNSURE, LONGEST_LABEL = 20, 0.6, 10_000
PERIODS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}
SHOWN = {
    "sampled": ("Sampled", Q()),
    "disagree": ("Versions disagree", Q(disagreed=True)),
    "unsure": ("Unsure", Q(confidence__lt=UNSURE) | Q(cause="unsure")),
    "late": ("Late", Q(late=True)),
    "failed": ("Failed", Q(failed=True)),
    "default": ("Default or error", ~Q(cause="")),
    "wrong": ("Labelled wrong", Q(is_wrong=True)),
}


def review(request: HttpRequest, name: str) -> HttpResponse:
    """Show the captured inputs that a filter finds, those without a label first of all."""
    application = application_for(request, name, VIEW)
    shown = request.GET.get("show", "")
    period = request.GET.get("period", "")
    period = period if period in PERIODS else "7d"
    context = request.GET.get("context", "")[:256].replace("\0", "")
    rows = _captured(application).filter(
        at__gte=timezone.now() - timedelta(hours=PERIODS[period]),
        **({"context": context} if context else {}),
    )
    waiting = rows.filter(reviewed_at=None)
    before = request.GET.get("before", "")
    if may_see := may(request, VIEW, SEE):
        counts = waiting.aggregate(
            **{key: Count("pk", filter=which) for key, (_, which) in SHOWN.items() if which}
        ) | {"sampled": waiting.count(), "wrong": rows.filter(SHOWN["wrong"][1]).count()}
        # What versions disagree on teaches most.
        usual = "disagree" if counts["disagree"] else "sampled"
        shown = shown if shown in SHOWN else usual
        found = (
            rows.filter(SHOWN["wrong"][1]) if shown == "wrong" else waiting.filter(SHOWN[shown][1])
        )
        if before.isascii() and before.isdigit() and len(before) < 18:
            found = found.filter(pk__lt=int(before))
        page = list(found.order_by("-pk")[: PAGE_SIZE + 1])
    else:
        counts, page, shown = {}, [], "sampled"
    return tab_of(
        request,
        application,
        "review",
        title=f"{application}: review",
        may_see=may_see,
        may_label=may(request, LABEL),
        may_keep=may(request, SEE, CHANGE),
        sets=_sets(application) if may_see else [],
        filters=[(key, words, counts.get(key, 0)) for key, (words, _) in SHOWN.items()],
        shown=shown,
        periods=PERIODS,
        period=period,
        context=context,
        captured=rows.count(),
        rate=formats.share(application.capture_rate),
        **_losses(application),
        rows=[_row(row, application) for row in page[:PAGE_SIZE]],
        older=page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None,
        choices=_choices(application) if page else [],
    )


@require_POST
def label(request: HttpRequest, name: str) -> HttpResponse:
    """Keep a label, or that nobody can tell; return the feedback to send and a pass for it."""
    application = application_for(request, name, VIEW, SEE, LABEL)
    number, text = request.POST.get("id", ""), request.POST.get("label", "")
    rows = CapturedInput.objects.filter(application=application)
    row = rows.filter(pk=number).first() if number.isascii() and number.isdigit() else None
    if row is None:
        raise Http404("This captured input is gone.")
    try:
        if text:
            msgspec.json.decode(text)
            text.encode()
        if len(text) > LONGEST_LABEL or "\0" in text:
            raise ValueError
    except (ValueError, RecursionError):
        said = f"Expected a label that is JSON, {LONGEST_LABEL:,} characters at most."
        return JsonResponse({"error": said}, status=400)
    row.label, row.reviewed_at = text, timezone.now()
    row.reviewed_by = cast(User, request.user).get_username()
    row.save(update_fields=["label", "reviewed_at", "reviewed_by"])
    if not text or not row.query_id or _is_too_late(row, application):
        said = "Kept for training only." if text else "Noted."
        return JsonResponse({"said": said})
    feedback = (
        f'{{"query_id":{json.dumps(row.query_id)},"label":{text},'
        f'"metrics":{{"{SAMPLING_CHANCE}":{row.chance!r}}}}}'
    )
    given = new_pass(request, application)
    return JsonResponse({"said": "Counted as feedback.", "feedback": feedback, "pass": given})


@require_POST
def keep_set(request: HttpRequest, name: str) -> HttpResponse:
    """Keep the rows that the page's filters find as a named set."""
    application = application_for(request, name, VIEW, SEE, CHANGE)
    rows = _captured(application).filter(
        at__gte=timezone.now() - timedelta(hours=PERIODS.get(request.POST.get("period", ""), 168)),
    )
    shown, context = request.POST.get("show", ""), request.POST.get("context", "")[:256]
    if shown in SHOWN:
        rows = rows.filter(SHOWN[shown][1])
    rows = rows.filter(context=context.replace("\0", "")) if context else rows
    named = request.POST.get("set", "")
    try:
        kept = keep_as_set(application, rows, name=named, by=actor(request))
        messages.success(request, f"{kept:,} more in the set {named}.")
    except ClipperError as error:
        messages.error(request, error.message)
    return HttpResponseRedirect(reverse("console-application-page", args=[name, "review"]))


@require_safe
def export(request: HttpRequest, name: str) -> HttpResponseBase:
    """Stream the labelled inputs as JSON Lines or CSV, for training."""
    application = application_for(request, name, VIEW, SEE)
    kind = "csv" if request.GET.get("format") == "csv" else "jsonl"
    rows = _captured(application).filter(~Q(label="") | Q(said__isnull=False)).order_by("pk")
    lines = _lines(rows, as_csv=kind == "csv")
    content_type = "text/csv" if kind == "csv" else "application/x-ndjson"
    answer = StreamingHttpResponse(lines, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{application.name}-labels.{kind}"'
    return answer


def _captured(application: Application) -> QuerySet[CapturedInput, Any]:
    """Return an application's rows, with what feedback said of each, and if that is another."""
    said = Feedback.objects.filter(application=application, nonce=OuterRef("nonce"))
    said = said.exclude(label="")
    other = Exists(said.exclude(label=OuterRef("answer")))
    rows: QuerySet[CapturedInput, Any] = CapturedInput.objects.filter(application=application)
    return rows.annotate(
        said=Subquery(said.values("label")[:1]),
        is_wrong=ExpressionWrapper(
            ~Q(answer="") & (Q(other) | (~Q(label="") & ~Q(label=F("answer")))),
            output_field=BooleanField(),
        ),
    )


def _lines(rows: QuerySet[CapturedInput, Any], *, as_csv: bool) -> Iterator[str]:
    names = ("input", "label", "answer", "context", "at", "confidence", "chance")
    if as_csv:
        yield ",".join(names) + "\r\n"
    for row in rows.iterator(chunk_size=200):
        try:
            body = body_of(row)
        except Exception:  # noqa: BLE001, S112  (a row that can't be read must not stop the others)
            continue
        values = [bytes(body.input).decode(), row.label or row.said, bytes(body.output).decode()]
        others = [row.context, row.at.isoformat(), row.confidence, row.chance]
        if as_csv:
            # No spreadsheet takes it for a formula.
            others[0] = "'" + row.context if row.context[:1] in tuple("=+-@\t") else row.context
            line = StringIO()
            csv.writer(line).writerow([*values, *others])
            yield line.getvalue()
        else:
            texts = [*values, *map(json.dumps, others)]
            pairs = zip(names, texts, strict=True)
            yield "{" + ",".join(f'"{key}":{text}' for key, text in pairs) + "}\n"


def _row(row: Any, application: Application) -> dict[str, Any]:
    shown = {
        "row": row,
        "confidence": formats.share(row.confidence),
        "latency": formats.milliseconds(row.latency_ms),
        "too_late": _is_too_late(row, application),
    }
    try:
        body = body_of(row)
        shown["input"] = drawn(bytes(body.input))
        shown["output"] = bytes(body.output).decode()
        shown["outputs"] = [(arm, bytes(out).decode()[:80]) for arm, out in body.outputs.items()]
        shown["missing"] = body.missing
    except Exception as error:  # noqa: BLE001  (whatever is wrong with it, the others are shown)
        shown["input"] = {"kind": "unreadable", "why": str(error)[:200]}
    return shown


def _is_too_late(row: CapturedInput, application: Application) -> bool:
    return row.at + timedelta(seconds=application.feedback_window_s) < timezone.now()


def _choices(application: Application) -> list[dict[str, str]]:
    """Return the answers seen most, each with the key that gives it as the label."""
    seen = CapturedInput.objects.filter(application=application, cause="").exclude(answer="")
    recent = seen.order_by("-pk").values_list("answer", flat=True)[:500]
    short = {each for each in recent if len(each) <= 24}
    # Those of one character come first: that is their key.
    answers = sorted(short, key=lambda each: (len(each.strip('"')) > 1, each))[:12]
    choices, taken = [], {"s", "u"}
    for number, answer in enumerate(answers, start=1):
        plain = answer.strip('"')
        free = [key for key in (plain.lower(), str(number)) if len(key) == 1 and key not in taken]
        taken.update(free[:1])
        choices.append({"label": answer, "plain": plain, "key": free[0] if free else ""})
    return choices


def _sets(application: Application) -> list[tuple[str, int]]:
    """Return the named sets, each with its number of rows."""
    rows = CapturedInput.objects.filter(application=application).exclude(set_name="")
    counted = rows.order_by("set_name").values("set_name").annotate(rows=Count("pk"))
    return [(each["set_name"], each["rows"]) for each in counted]


def _losses(application: Application) -> dict[str, Any]:
    """Return how many captured queries processes that run now have lost, and what is wrong now."""
    try:
        documents, problem = read_published(redis_client()), problem_now()
    except REDIS_ERRORS as error:
        return {"dropped": 0, "problem": f"Redis: {type(error).__name__}: {error}."}
    counts = [document["applications"].get(application.name, {}) for document in documents]
    return {
        "dropped": sum(each.get("captures_dropped", 0) for each in counts),
        "problem": problem,
    }

"""Search by ⌘K or Ctrl+K, and the page of one query, found by its id."""

import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache, reduce
from operator import or_
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode

from console.access import VIEW, application_for, may, tab_of
from console.application_pages import APPLICATION_PAGES
from core.errors import InvalidReceipt
from registry.api.views.timeline_view import entries_for
from registry.api.visibility import applications_for, bound_to, models_for
from registry.models import ModelVersion, Release
from selection.feedback.intake.receipt_signing import receipt_signer
from selection.models import Feedback
from selection.receipts import Receipt

MOST = 20
EACH = 6
# No name is as long, and no receipt shorter.
SHORTEST_ID = 48


class Hit(NamedTuple):
    """One find, as the theme's list shows it."""

    title: str
    description: str
    link: str
    icon: str


def search(request: HttpRequest) -> HttpResponse:
    """Answer with the theme's list of what the person may open or do."""
    begun, text = time.monotonic(), request.GET.get("s", "").replace("\0", "").strip()
    hits = _found(request, text) if text else []
    context = {
        **{"results": hits, "page_obj": {"count": len(hits)}, "page_counter": 0},
        "execution_time": time.monotonic() - begun,
    }
    return TemplateResponse(request, "unfold/helpers/command_results.html", context)


def _found(request: HttpRequest, text: str) -> list[Hit]:
    if len(text) >= SHORTEST_ID and " " not in text:
        return _query(request, text)
    words = text.lower().split()[:8]
    hits = [hit for finder in FINDERS for hit in finder(request, words)]
    fitting = [hit for hit in hits if all(w in f"{hit[0]} {hit[1]}".lower() for w in words)]
    return sorted(fitting, key=lambda hit: _rank(hit.title.lower(), " ".join(words)))[:MOST]


def _rank(title: str, asked: str) -> int:
    """Return 0 for the name itself, 1 for one that begins so."""
    return 0 if title == asked else 1 if title.startswith(asked) else 2


def _query(request: HttpRequest, text: str) -> list[Hit]:
    try:
        receipt = receipt_signer().verify(text)
    except InvalidReceipt:
        return []
    found = applications_for(request).filter(pk=receipt.application_id).first()
    if found is None or not may(request, VIEW):
        return []
    page = f"{reverse('console-query', args=[found.name])}?{urlencode({'id': text})}"
    what = f"Query of {found.name}", f"{_moment(receipt):%-d %b %Y, %H:%M:%S} UTC"
    return [Hit(*what, page, "receipt_long")]


def _like(rows: QuerySet[Any, Any], words: Iterable[str], *fields: str) -> QuerySet[Any, Any]:
    """Return a few rows with one of the words in one of the fields."""
    asked = (Q(**{f"{field}__icontains": word}) for word in words for field in fields)
    return rows.filter(reduce(or_, asked))[:EACH]


def _applications(request: HttpRequest, words: list[str]) -> Iterator[Hit]:
    if not may(request, VIEW):
        return
    names = applications_for(request).order_by("name")
    for row in _like(names, words, "name", "description") or names[:EACH]:
        hub, form = (
            reverse(name, args=[row.name]) for name in ("console-application-page", "console-try")
        )
        yield Hit(row.name, "Application", hub, "apps")
        yield Hit(f"Try {row.name}", "Ask it", form, "play_arrow")
        for page in APPLICATION_PAGES:
            if page.path:
                yield Hit(f"{page.title} of {row.name}", "Application", page.url(row.name), "tab")


def _models(request: HttpRequest, words: list[str]) -> Iterator[Hit]:
    if not may(request, "registry.view_model"):
        return
    names = models_for(request).order_by("name")
    for row in _like(names, [word.partition(":")[0] for word in words], "name") or names[:EACH]:
        yield Hit(row.name, "Model", _page("registry_model", row.pk), "model_training")
        if request.user.has_perm("registry.roll_back_model", row) or request.user.has_perm(
            "registry.change_model", row
        ):
            link = reverse("console-roll-back", args=[row.name])
            yield Hit(f"Roll back {row.name}", "To a version that was live", link, "undo")


def _versions(request: HttpRequest, words: list[str]) -> Iterator[Hit]:
    if not may(request, "registry.view_modelversion"):
        return
    seen = ModelVersion.objects.filter(model__in=models_for(request)).select_related("model")
    for word in words:
        model, _, version = word.partition(":")
        rows = seen.filter(model__name__icontains=model, version__istartswith=version)
        for row in rows.order_by("-pk")[:EACH]:
            yield Hit(str(row), "Version", _page("registry_modelversion", row.pk), "deployed_code")
            if not row.is_live and request.user.has_perm("registry.change_model", row.model):
                link = reverse("admin:registry_modelversion_deploy", args=[row.pk])
                yield Hit(f"Deploy {row}", "Make it live", link, "rocket_launch")


def _releases(request: HttpRequest, words: list[str]) -> Iterator[Hit]:
    if not may(request, "registry.view_release"):
        return
    names = [word.partition(":")[0] for word in words]
    rows = Release.objects.filter(model__in=models_for(request)).order_by("-pk")
    numbers = [int(word) for word in words if word.isdecimal() and len(word) < 10]
    found = (*rows.filter(pk__in=numbers), *_like(rows, names, "model_name", "version_name"))
    for row in dict.fromkeys(found):
        title = f"{row.get_kind_display().capitalize()} of {row.arm}"
        about = f"Release {row.pk}, {row.get_state_display()}, by {row.by_label}"
        yield Hit(title, about, _page("registry_release", row.pk), "history")


def _people(request: HttpRequest, words: list[str]) -> Iterator[Hit]:
    if may(request, "auth.change_user"):
        for row in _like(User.objects.order_by("username"), words, "username", "email"):
            yield Hit(row.username, "Person", reverse("console-person", args=[row.pk]), "person")
    if may(request, "registry.view_auditentry"):
        known = User.objects.order_by("username")
        if bound_to(request) is not None:
            known = known.filter(username__in=entries_for(request).values("by"))
        for row in _like(known, words, "username"):
            link = f"{reverse('console-timeline')}?{urlencode({'by': row.username})}"
            yield Hit(f"Changes by {row.username}", "Timeline", link, "history")


def _documents(request: HttpRequest, words: list[str]) -> Iterator[Hit]:
    for title, place in _document_titles():
        if all(word in title.lower() for word in words):
            yield Hit(title, "Documentation", f"/docs/{place}", "menu_book")


@lru_cache(maxsize=1)
def _document_titles() -> list[tuple[str, str]]:
    """Return the titles of the documentation that this process found built, with their places."""
    try:
        index = json.loads((settings.CLIPPER_DOCS / "search" / "search_index.json").read_bytes())
        return [(entry["title"], entry["location"]) for entry in index["docs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


FINDERS = (_applications, _models, _versions, _releases, _people, _documents)


def _page(name: str, pk: int) -> str:
    return reverse(f"admin:{name}_change", args=[pk])


def _moment(receipt: Receipt) -> datetime:
    return datetime.fromtimestamp(receipt.issued_at_ms / 1000, UTC)


def query_page(request: HttpRequest, name: str) -> HttpResponse:
    """Show what a query's receipt says, and its label."""
    application = application_for(request, name, VIEW)
    try:
        receipt = receipt_signer().verify(request.GET.get("id", ""))
    except InvalidReceipt as error:
        raise Http404(str(error)) from error
    if receipt.application_id != application.pk:
        raise Http404(f"The query was not one of {application}.")
    label = Feedback.objects.filter(nonce=receipt.nonce.hex()).first()
    arms = [
        {"arm": arm.arm, "chance": arm.propensity, "output": arm.output and arm.output.decode()}
        for arm in receipt.arms
    ]
    context = {"receipt": receipt, "at": _moment(receipt), "arms": arms, "label": label}
    return tab_of(request, application, "query", title=f"A query of {application}", **context)

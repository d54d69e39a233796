"""The documentation at /docs/, as `make docs` has built it; it needs no login."""

import mimetypes
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import condition, require_safe

# No page of the documentation evaluates text or sends a form.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)


def _changed_at(request: HttpRequest, path: str) -> datetime | None:
    file = _file(path)
    return datetime.fromtimestamp(file.stat().st_mtime, UTC) if file is not None else None


@require_safe
def documentation(request: HttpRequest, path: str) -> HttpResponse:
    """Answer with a file of the site, or say how to build it."""
    answer = _answer(request, path)
    # Browsers take the headers of a 304 for those of the page.
    answer["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    answer["Cache-Control"] = "no-cache"  # asked again each time, so a new site is seen at once
    return answer


@condition(last_modified_func=_changed_at)
def _answer(request: HttpRequest, path: str) -> HttpResponse:
    file = _file(path)
    if file is None:
        return _nothing(request, path)
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    # At once and not as a stream: no file has more than a megabyte or two.
    return HttpResponse(file.read_bytes(), content_type=kind)


def _nothing(request: HttpRequest, path: str) -> HttpResponse:
    if not (settings.CLIPPER_DOCS / "index.html").is_file():
        can_build = (settings.CLIPPER_DOCS.parents[1] / "mkdocs.yml").is_file()
        shown = {"can_build": can_build}
        return render(request, "console/documentation_not_built.html", shown, status=503)
    if _file(f"{path}/") is not None:
        return HttpResponseRedirect(f"{request.path}/")
    raise Http404(f"The documentation has no page {path!r}.")


def _file(path: str) -> Path | None:
    """Return the file of the site that a path stands for; a folder stands for its index."""
    name = f"{path}index.html" if path.endswith("/") or not path else path
    site = Path(settings.CLIPPER_DOCS).resolve()
    try:
        file = (site / name).resolve()
        return file if file.is_relative_to(site) and file.is_file() else None
    except (OSError, ValueError):  # no name that a file could have
        return None

"""The tabs of an application's hub: a row of the table has its URL and its tab."""

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPage:
    """A page at `/admin/applications/{application}/{path}/`; the hub's first has no `path`.

    `view` is the dotted name of a function of a request and an application's name.
    """

    path: str
    title: str
    view: str

    def url(self, application: str) -> str:
        """Return the page's URL."""
        return reverse("console-application-page", args=[application, *filter(None, [self.path])])


APPLICATION_PAGES = [
    ApplicationPage(path="", title="Overview", view="console.pages.overview.overview"),
    ApplicationPage(
        path="experiment", title="Experiment", view="console.pages.experiment.experiment"
    ),
    ApplicationPage(path="releases", title="Releases", view="console.pages.releases.releases"),
    ApplicationPage(path="review", title="Review", view="console.pages.review.review"),
    ApplicationPage(path="contexts", title="Contexts", view="console.pages.contexts.contexts"),
    ApplicationPage(path="objective", title="Objective", view="console.pages.objective.objective"),
    ApplicationPage(path="settings", title="Settings", view="console.pages.settings.settings"),
]
# Where pages have been.
MOVED = {"monitoring": "experiment", "what-if": "experiment"}


def application_page(request: HttpRequest, name: str, path: str = "") -> HttpResponse:
    """Answer with the page that has this path."""
    for page in APPLICATION_PAGES:
        if page.path == path:
            answer: HttpResponse = import_string(page.view)(request, name)
            return answer
    if path in MOVED:
        query = request.META["QUERY_STRING"]
        return redirect(f"../{MOVED[path]}/{query and '?'}{query}")
    raise Http404(f"An application has no page {path!r}.")

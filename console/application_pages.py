"""The console's pages about one application: a row of the table has its URL and its tab."""

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPage:
    """A page at `/admin/applications/{application}/{path}/`.

    `view` is the dotted name of a function of a request and an application's name.
    """

    path: str
    title: str
    view: str

    def url(self, application: str) -> str:
        return reverse("console-application-page", args=[application, self.path])


APPLICATION_PAGES = [
    ApplicationPage(
        path="experiment", title="Experiment", view="console.pages.experiment.experiment"
    ),
    ApplicationPage(path="contexts", title="Contexts", view="console.pages.contexts.contexts"),
]


def application_page(request: HttpRequest, name: str, path: str) -> HttpResponse:
    """Answer with the page that has this path."""
    for page in APPLICATION_PAGES:
        if page.path == path:
            answer: HttpResponse = import_string(page.view)(request, name)
            return answer
    raise Http404(f"An application has no page {path!r}.")

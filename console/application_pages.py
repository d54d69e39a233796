"""The console's pages about one application: from each row come its URL, its tab and its button."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPage:
    """A page at `/admin/applications/{application}/{path}/`.

    `view` is the dotted name of a function of a request and an application's name; `in_rows` puts
    its button beside each application of the list, too.
    """

    path: str
    title: str
    icon: str
    view: str
    in_rows: bool = False

    @property
    def url_name(self) -> str:
        return f"console-{self.path}"

    @property
    def action(self) -> str:
        """The name of its button."""
        return self.path.replace("-", "_")

    def url(self, application: str) -> str:
        return reverse(self.url_name, args=[application])


APPLICATION_PAGES = (
    ApplicationPage(
        path="monitoring",
        title="Monitoring",
        icon="monitoring",
        view="console.pages.monitoring.monitoring",
        in_rows=True,
    ),
    ApplicationPage(
        path="contexts", title="Contexts", icon="psychology", view="console.pages.contexts.contexts"
    ),
    ApplicationPage(
        path="what-if", title="What if", icon="query_stats", view="console.pages.what_if.what_if"
    ),
)

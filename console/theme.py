"""The admin's look and navigation (django-unfold), and the page it opens with."""

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

from core.version import VERSION

# A place of the menu is the current one on pages whose URLs begin with one of these.
ALSO_AT: dict[str, tuple[str, ...]] = {
    "Applications": ("/applications/", "/registry/application/", "/selection/"),
    "Models": ("/registry/model", "/registry/release/", "/versions/"),
    "Timeline": ("/timeline/",),
    "Alerts": ("/alerts/",),
    "People & keys": ("/people/", "/registry/apikey/", "/password_change/"),
    "System": ("/system/", "/environments/"),
}


def _item(title: str, icon: str, link: str, *needs: str) -> dict[str, Any]:
    """Return a place of the menu, for people who have one of these permissions."""
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(link)}
    if needs:
        item["permission"] = lambda request: any(_has(each, request) for each in needs)
    if also := ALSO_AT.get(title):
        item["active"] = lambda request: request.path.removeprefix("/admin").startswith(also)
    return item


def _tabs(*models: str) -> dict[str, Any]:
    """Return the lists that are one place of the menu, each a tab of the others."""
    items = []
    for name in models:
        label, _, model = name.partition(".")
        title, link = TITLES[model], reverse_lazy(f"admin:{label}_{model}_changelist")
        needed = f"{label}.view_{model}"
        items.append({"title": title, "link": link, "permission": partial(_has, needed)})
    return {"models": list(models), "items": items}


def _has(needed: str, request: HttpRequest) -> bool:
    return request.user.has_perm(needed)


TITLES = {
    "application": "Applications",
    "feedback": "Feedback",
    "model": "Models",
    "release": "Releases",
}

INDIGO = {
    "50": "oklch(96.2% .018 272.314)",
    "100": "oklch(93% .034 272.788)",
    "200": "oklch(87% .065 274.039)",
    "300": "oklch(78.5% .115 274.713)",
    "400": "oklch(67.3% .182 276.935)",
    "500": "oklch(58.5% .233 277.117)",
    "600": "oklch(51.1% .262 276.966)",
    "700": "oklch(45.7% .24 277.023)",
    "800": "oklch(39.8% .195 277.366)",
    "900": "oklch(35.9% .144 278.697)",
    "950": "oklch(25.7% .09 281.288)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Clipper",
    "SITE_HEADER": "Clipper",
    "SITE_SUBHEADER": f"prediction serving {VERSION}",
    "SITE_SYMBOL": "sailing",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("console/favicon.svg"),
        }
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": INDIGO},
    "DASHBOARD_CALLBACK": "console.pages.home.dashboard",
    "STYLES": [lambda request: static("console/console.css")],
    "SCRIPTS": [
        lambda request: static("console/console.js"),
        lambda request: static("console/page.js"),
    ],
    "TABS": [
        _tabs("registry.application", "selection.feedback"),
        _tabs("registry.model", "registry.release"),
    ],
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": [
            {
                "items": [
                    _item("Home", "home", "admin:index"),
                    _item(
                        "Applications",
                        "apps",
                        "admin:registry_application_changelist",
                        "registry.view_application",
                    ),
                    _item(
                        "Models",
                        "model_training",
                        "admin:registry_model_changelist",
                        "registry.view_model",
                    ),
                    _item(
                        "Timeline",
                        "history",
                        "console-timeline",
                        "registry.view_auditentry",
                    ),
                    # The count is that of templates/unfold/helpers/app_list_badge.html.
                    _item("Alerts", "notifications", "console-alerts", "alerts.view_alert")
                    | {"badge": True},
                    _item(
                        "People & keys",
                        "group",
                        "console-people",
                        "auth.view_user",
                        "registry.view_apikey",
                    ),
                    _item(
                        "System",
                        "dns",
                        "console-system",
                        "registry.view_stack",
                    ),
                ]
            }
        ],
    },
}

"""The admin's look and navigation (django-unfold), and the page it opens with."""

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

from core.version import VERSION

# Each has an icon, a page, the permissions of which one is needed, and beginnings of the URLs under
# /admin at which it is the current one.
MENU: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Home", "home", "admin:index", (), ()),
    (
        *("Applications", "apps", "admin:registry_application_changelist"),
        ("registry.view_application",),
        ("/applications/", "/registry/application/", "/selection/"),
    ),
    (
        *("Models", "model_training", "admin:registry_model_changelist"),
        ("registry.view_model",),
        ("/registry/model", "/registry/release/", "/versions/"),
    ),
    ("Timeline", "history", "console-timeline", ("registry.view_auditentry",), ("/timeline/",)),
    ("Alerts", "notifications", "console-alerts", ("alerts.view_alert",), ("/alerts/",)),
    (
        *("People & keys", "group", "console-people", ("auth.view_user", "registry.view_apikey")),
        ("/people/", "/registry/apikey/", "/password_change/"),
    ),
    ("System", "dns", "console-system", ("registry.view_stack",), ("/system/", "/environments/")),
)


def _item(
    title: str, icon: str, link: str, needs: tuple[str, ...], at: tuple[str, ...]
) -> dict[str, Any]:
    """Return a place of the menu."""
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(link)}
    if needs:
        item["permission"] = lambda request: any(map(request.user.has_perm, needs))
        item["active"] = lambda request: request.path.removeprefix("/admin").startswith(at)
    return item


def _tab(title: str, model: str) -> dict[str, Any]:
    """Return a list that is one place of the menu with others."""
    needed = partial(_has, model.replace("_", ".view_"))
    return {"title": title, "link": reverse_lazy(f"admin:{model}_changelist"), "permission": needed}


def _file(name: str, request: HttpRequest) -> str:
    return static(f"console/{name}")


def _has(needed: str, request: HttpRequest) -> bool:
    return request.user.has_perm(needed)


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
        {"rel": "icon", "type": "image/svg+xml", "href": partial(_file, "favicon.svg")}
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": INDIGO},
    "DASHBOARD_CALLBACK": "console.pages.home.dashboard",
    "STYLES": [partial(_file, name) for name in ("console.css", "tables.css")],
    "SCRIPTS": [partial(_file, name) for name in ("console.js", "page.js")],
    "TABS": [
        {
            "models": ["registry.application", "selection.feedback"],
            "items": [
                _tab("Applications", "registry_application"),
                _tab("Feedback", "selection_feedback"),
            ],
        }
    ],
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": [{"items": [_item(*place) for place in MENU]}],
    },
}

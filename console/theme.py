"""The admin's look and navigation (django-unfold), and the page it opens with."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

from core.version import VERSION


def _item(title: str, icon: str, link: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(link)}


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(items)}


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
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": INDIGO},
    "DASHBOARD_CALLBACK": "console.live.home.dashboard",
    "STYLES": [lambda request: static("console/console.css")],
    "SCRIPTS": [lambda request: static("console/console.js")],
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            _group("Overview", _item("Live", "monitoring", "admin:index")),
            _group(
                "Serving",
                _item("Applications", "apps", "admin:registry_application_changelist"),
            ),
            _group(
                "Models",
                _item("Models", "model_training", "admin:registry_model_changelist"),
                _item("Versions", "deployed_code", "admin:registry_modelversion_changelist"),
                _item("Releases", "rocket_launch", "admin:registry_release_changelist"),
                _item("Environments", "inventory_2", "console-environments"),
            ),
            _group(
                "Learning",
                _item("Feedback", "thumbs_up_down", "admin:selection_feedback_changelist"),
            ),
            _group(
                "Access",
                _item("API keys", "key", "admin:registry_apikey_changelist"),
                _item("Audit trail", "history", "admin:registry_auditentry_changelist"),
                _item("Users", "person", "admin:auth_user_changelist"),
                _item("Groups", "group", "admin:auth_group_changelist"),
            ),
        ],
    },
}

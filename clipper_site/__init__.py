"""The composition root: settings, URLs, the ASGI applications and the Celery application."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# Holds the templates and static files: this package in a wheel, the folder above in a checkout.
RESOURCES = _PACKAGE if (_PACKAGE / "templates").is_dir() else _PACKAGE.parent

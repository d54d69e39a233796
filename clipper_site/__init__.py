"""The composition root: settings, URLs, the ASGI applications and the Celery application."""

from pathlib import Path

# Holds the packages that run, templates and static files.
ROOT = Path(__file__).resolve().parent.parent

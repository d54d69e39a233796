"""The composition root: settings, URLs, the ASGI application and the Celery application."""

from clipper_site.celery import app as celery_app

__all__ = ["celery_app"]

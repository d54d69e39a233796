"""The composition root: settings, URLs, the ASGI applications and the Celery application."""

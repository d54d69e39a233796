"""The hub's last tab: all that can be set of an application."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from console.access import VIEW, application_for, frame
from registry.models import Application


def settings(request: HttpRequest, name: str) -> HttpResponse:
    """Show the form; a POST saves it."""
    application = application_for(request, name, VIEW)
    form = admin.site.get_model_admin(Application)
    context = frame(request, application, title=f"{application}: settings")
    return form.changeform_view(request, str(application.pk), extra_context=context)

"""The web form at /feedback/{app}/; its script calls the REST API with the person's own key."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from core.errors import NotFound
from registry.api.error_shape import error_page
from registry.models import Application
from serving.endpoints.predictions.predict_request import NUMBERS

# Everything comes from files of our own: nothing inline, nothing from elsewhere.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@require_safe
def feedback_form(request: HttpRequest, name: str) -> HttpResponse:
    application = Application.objects.select_related("slo").filter(name=name).first()
    if application is None:
        page = error_page(
            request,
            NotFound("Check the address. The console lists the applications there are."),
            title=f"There is no application named “{name}”",
            back_to=reverse("admin:registry_application_changelist"),
            go="Open the console",
        )
    else:
        context = {"application": application, "numbers": application.input_type in NUMBERS}
        page = render(request, "console/feedback_form.html", context)
    page["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    page["Referrer-Policy"] = "same-origin"
    return page

"""The console's page that compares versions side by side."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console.access import may, page_with
from console.words.comparison import side_by_side
from core.errors import BadRequest, ClipperError
from registry.api.visibility import applications_for, models_for
from registry.models import ModelVersion
from serving.endpoints.management.compare_views import chosen_versions


def compare(request: HttpRequest) -> HttpResponse:
    """Show the versions that `?v=svm:1&v=svm:2` names."""
    if not may(request, "registry.view_modelversion"):
        raise PermissionDenied
    arms = request.GET.getlist("v")
    name = arms[0].partition(":")[0] if arms else ""
    model = models_for(request).filter(name=name).first()
    back = reverse("admin:registry_model_changelist")
    try:
        if model is None:
            raise BadRequest("Tick two to four versions of a model to compare.")
        back = reverse("admin:registry_model_change", args=[model.pk])
        versions = chosen_versions(model, names=arms)
    except ClipperError as error:
        messages.error(request, error.message)
        return HttpResponseRedirect(back)
    asking = applications_for(request).filter(routes__model=model).distinct()
    return page_with(
        request,
        "compare",
        title=f"Compare versions of {model}",
        opts=ModelVersion._meta,
        original=model,
        table=side_by_side(versions, applications=asking),
        asking=asking,
        may_roll_back=any(one.pk == model.live_version_id for one in versions)
        and request.user.has_perm("registry.roll_back_model", model),
        may_deploy=request.user.has_perm("registry.change_model", model),
    )

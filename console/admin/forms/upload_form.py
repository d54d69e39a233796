"""The form that registers a version: by its artifact, or by where its model lives already."""

import json
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from console.admin.forms.application_form import ShallowDecoder
from console.drop_zone import DropZone, artifact_kinds, recognised
from registry.models import ModelVersion
from registry.services.versions import CONFIGURABLE, CONFIGURATION, REMOTE, UPLOADED
from registry.versions.extensions import extensions

PROTOCOLS = (
    ("open-inference", "Open Inference Protocol (Triton, KServe, MLServer)"),
    ("mlflow", "MLflow scoring"),
    ("openai", "OpenAI-style"),
    ("json", "JSON by a template"),
)
# The column `secret`, which is sealed, isn't one that a form may have.
SEALED_LATER = "credential"
OF_REMOTE = (*CONFIGURATION, SEALED_LATER)
# Fields of models loaded from an artifact. A group goes with its first field.
OF_OTHERS = (
    *("artifact", "device", "method", "requirements", "python"),
    "allow_stale_libraries",
    "allow_pickle",
)
REMOTE_FIELDS = (
    "url",
    ("protocol", "output"),
    "template",
    (SEALED_LATER, "secret_header"),
    ("timeout_ms", "concurrency"),
)


class UploadForm(forms.ModelForm[ModelVersion]):
    """A new version. A script shows the fields that its runtime has (console.js)."""

    runtime = forms.ChoiceField(
        required=False,
        choices=lambda: [("", "as the file says"), *((n, n) for n in extensions.runtime_names())],
        widget=UnfoldAdminSelectWidget(
            attrs={
                "data-alone": REMOTE,
                "data-its": " ".join(OF_REMOTE),
                "data-others": " ".join(OF_OTHERS),
            }
        ),
    )
    artifact = forms.FileField(
        required=False,
        widget=DropZone(attrs={"data-kinds": artifact_kinds()}),
    )
    url = forms.CharField(
        required=False,
        label="URL",
        widget=UnfoldAdminTextInputWidget(
            attrs={"placeholder": "http://127.0.0.1:8001/v2/models/iris"}
        ),
        help_text="At a host of the operator's list (CLIPPER_REMOTE_HOSTS); no credentials in it.",
    )
    protocol = forms.ChoiceField(required=False, choices=PROTOCOLS, widget=UnfoldAdminSelectWidget)
    output = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "predictions"}),
        help_text="Which part of an answer is the output: a tensor's name, or a path.",
    )
    template = forms.JSONField(
        required=False,
        decoder=ShallowDecoder,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text='The body, with "$input" or "$inputs" in it. For JSON, and OpenAI-style.',
    )
    credential = forms.CharField(
        required=False,
        label="Secret",
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Kept sealed; nobody is shown it again.",
    )
    secret_header = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Authorization: Bearer …"}),
        help_text="In which the secret goes as it is.",
    )
    timeout_ms = forms.FloatField(
        required=False,
        label="Time limit (ms)",
        widget=UnfoldAdminIntegerFieldWidget(attrs={"placeholder": "5000", "step": "any"}),
        help_text="For one request with all its retries.",
    )
    concurrency = forms.IntegerField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"placeholder": "by protocol"}),
        help_text="Requests that a replica has under way at once.",
    )

    class Meta:
        model = ModelVersion
        fields = ("model", *UPLOADED, *CONFIGURABLE)
        help_texts = {
            "version": "Lower-case letters, digits, hyphens, underscores: 2 or 2024-11-retrained.",
        }

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        self._recognise(given)
        needed = "url" if given.get("runtime") == REMOTE else "artifact"
        if not given.get(needed) and needed not in self.errors:
            self.add_error(needed, "This field is required.")
        if needed == "url" and given.get("artifact"):
            self.add_error("artifact", "Expected none with the runtime remote.")
        return given

    def _recognise(self, given: dict[str, Any]) -> None:
        """Find the runtime if none was chosen; check the file against one that was."""
        file, runtime = given.get("artifact"), given.get("runtime")
        if not file or runtime == REMOTE or getattr(file, "fault", None):
            if not (file or runtime):
                self.add_error("artifact", "This field is required.")
            return
        given["runtime"], problems = recognised(file, runtime=runtime or "")
        for field, problem in problems.items():
            self.add_error(field, problem)

    @property
    def remote(self) -> dict[str, Any]:
        """The arguments of `create_remote_version` beside the fields of other versions."""
        given = {name: self.cleaned_data.get(name) for name in CONFIGURATION}
        said = {name: value for name, value in given.items() if value not in (None, "")}
        return {"configuration": said, "secret": self.cleaned_data.get(SEALED_LATER, "")}


def remote_text(remote: dict[str, Any]) -> str:
    """A remote version's configuration in one line, without what is as everywhere."""
    shown = {name: value for name, value in remote.items() if value not in (None, "")}
    where = f"{shown.pop('protocol')} at {shown.pop('url')}"
    rest = ", ".join(f"{name}: {json.dumps(value)}" for name, value in shown.items())
    return f"{where} ({rest})" if rest else where

"""No policy has the parameter `context_share` any more: applications that set it lose it, not more."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def drop(apps: Any, schema_editor: Any) -> None:
    application = apps.get_model("registry", "Application")
    for row in application.objects.all():
        if "context_share" in row.policy_params:
            del row.policy_params["context_share"]
            row.save(update_fields=["policy_params"])


class Migration(migrations.Migration):
    dependencies = (("registry", "0021_application_keep_feedback_s"),)

    operations = (migrations.RunPython(drop, migrations.RunPython.noop),)

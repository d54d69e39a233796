"""`exp4` has no parameter `importance` any more: applications that have it lose it, not more."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def drop(apps: Any, schema_editor: Any) -> None:
    application = apps.get_model("registry", "Application")
    for row in application.objects.filter(policy="exp4"):
        if "importance" in row.policy_params:
            del row.policy_params["importance"]
            row.save(update_fields=["policy_params"])


class Migration(migrations.Migration):
    dependencies = (("registry", "0018_keep_inputs"),)

    operations = (migrations.RunPython(drop, migrations.RunPython.noop),)

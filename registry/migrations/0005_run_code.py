"""One permission to run code in place of that to load pickle; who had the old one has the new."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

BEFORE = ("allow_pickle", "Can allow a version to load pickle")
AFTER = ("run_code", "Can have replicas run code that an artifact brings")


def rename(apps: Any, old: tuple[str, str], new: tuple[str, str]) -> None:
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="registry", content_type__model="modelversion"
    )
    permissions.filter(codename=old[0]).update(codename=new[0], name=new[1])


def forwards(apps: Any, schema_editor: Any) -> None:
    rename(apps, BEFORE, AFTER)


def backwards(apps: Any, schema_editor: Any) -> None:
    rename(apps, AFTER, BEFORE)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("registry", "0004_selection_settings"),
    ]

    operations = [
        migrations.RenameField("apikey", "can_allow_pickle", "can_run_code"),
        migrations.AlterField(
            "apikey",
            "can_run_code",
            models.BooleanField(
                default=False,
                help_text="May upload and first deploy versions that run code of their own.",
            ),
        ),
        migrations.AlterModelOptions(
            "modelversion",
            options={"ordering": ("model", "-created_at", "-id"), "permissions": (AFTER,)},
        ),
        migrations.RunPython(forwards, backwards),
    ]

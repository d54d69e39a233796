from django.db import migrations

# SQLite's REPLACE deletes the row in its way without asking the triggers that refuse to delete. A
# row without a number of its own yet is no number at all here.
MADE = (
    "CREATE TRIGGER registry_auditentry_no_replace BEFORE INSERT ON registry_auditentry "
    "WHEN EXISTS (SELECT 1 FROM registry_auditentry WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
)
UNDONE = "DROP TRIGGER IF EXISTS registry_auditentry_no_replace"


def install(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(MADE)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(UNDONE)


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0010_signatures'),
    ]

    operations = [
        migrations.RunPython(install, remove),
    ]

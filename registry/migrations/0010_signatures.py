from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0009_keep_outputs'),
    ]

    operations = [
        migrations.AddField(
            model_name='modelversion',
            name='n_features',
            field=models.PositiveIntegerField(blank=True, editable=False, help_text='As its check found. Empty: not known, or any number.', null=True, verbose_name='numbers in an input'),
        ),
        migrations.AddField(
            model_name='release',
            name='allow_signature_change',
            field=models.BooleanField(default=False, help_text='Its version may take another number of numbers than what it replaces.'),
        ),
    ]

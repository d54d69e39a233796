import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0003_release_progress'),
        ('selection', '0002_rebuildable_state'),
    ]

    operations = [
        migrations.AddField(
            model_name='feedback',
            name='gone',
            field=models.JSONField(blank=True, default=list, help_text='Contexts that were forgotten to make room for its own.'),
        ),
        migrations.CreateModel(
            name='StateReset',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('everywhere', models.BooleanField(default=False)),
                ('context', models.CharField(blank=True, help_text='Empty: the global one.', max_length=256)),
                ('position', models.BigIntegerField(help_text='Its place in the order of feedback.')),
                ('at', models.DateTimeField()),
                ('by', models.CharField(help_text='Who asked for it.', max_length=200)),
                ('application', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='resets', to='registry.application')),
            ],
            options={
                'ordering': ('-position',),
                'constraints': [models.UniqueConstraint(fields=('application', 'position'), name='state_reset_counted_once')],
            },
        ),
    ]

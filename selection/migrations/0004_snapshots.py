import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0003_release_progress'),
        ('selection', '0003_resets'),
    ]

    operations = [
        migrations.CreateModel(
            name='SelectionSnapshot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField()),
                ('at', models.DateTimeField()),
                ('step_s', models.PositiveSmallIntegerField(help_text='How far apart such snapshots are.')),
                ('policy', models.CharField(max_length=32)),
                ('arms', models.JSONField(help_text='{arm: {"weight", "probability", "reward", ...}}, at the end')),
                ('counts', models.JSONField(help_text='{arm: [asked, answered, late, failed]}, within')),
                ('earned', models.JSONField(help_text='[rounds, sum of rewards, of squares], within')),
                ('rewards', models.JSONField(help_text='{arm: sums over feedback}, within')),
                ('readings', models.JSONField(blank=True, default=dict, help_text='What web processes had counted at the end.')),
                ('last_feedback', models.BigIntegerField(default=0, help_text='The last row of feedback that is in it, or in one before.')),
                ('application', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='selection_snapshots', to='registry.application')),
            ],
            options={
                'ordering': ('at', 'id'),
                'indexes': [
                    models.Index(fields=['application', 'at'], name='snapshot_by_application'),
                    models.Index(fields=['application', 'step_s', 'at'], name='snapshot_to_merge'),
                ],
            },
        ),
    ]

"""The last change of each row that the prediction path follows."""

from django.db import models


class RegistryChange(models.Model):
    """The last change of one row; primary keys are change numbers, which commit in order."""

    kind = models.CharField(max_length=16)
    row_id = models.BigIntegerField()

    class Meta:
        indexes = (models.Index(name="registry_change_of_row", fields=("kind", "row_id")),)

    def __str__(self) -> str:
        return f"{self.pk}: {self.kind} {self.row_id}"

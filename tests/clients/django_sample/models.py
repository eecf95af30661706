"""Two tables with what migrations make of them: keys, indexes, a unique name."""

from django.db import models


class Shelf(models.Model):  # type: ignore[misc]
    """Where things are."""

    name = models.CharField(max_length=40, unique=True)

    class Meta:
        app_label = "django_sample"


class Thing(models.Model):  # type: ignore[misc]
    """What is there."""

    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE)
    label = models.CharField(max_length=40, db_index=True)
    count = models.IntegerField(default=0)

    class Meta:
        app_label = "django_sample"

"""What test_django.py plays in a process of its own: migrations, the ORM, inspectdb. Findings as JSON on stdout."""

from __future__ import annotations

import io
import json
import os
import sys
from threading import Thread


def configure() -> None:
    """Set Django up for the database that the environment names."""
    import django
    from django.conf import settings

    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ["PGPASSWORD"],
        "OPTIONS": {"sslmode": "disable"},
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django.contrib.contenttypes", "tests.clients.django_sample"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


def play(part: str) -> object:
    """Play one part."""
    from django.core.management import call_command
    from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction

    from tests.clients.django_sample.models import Shelf, Thing

    if part == "migrate":
        call_command("makemigrations", "django_sample", verbosity=0)
        call_command("migrate", verbosity=0)
        return sorted(connection.introspection.table_names())
    if part == "orm":
        with transaction.atomic():
            shelf = Shelf.objects.create(name="left")
            Thing.objects.bulk_create([Thing(shelf=shelf, label=str(at)) for at in range(3)])
        changed = Thing.objects.filter(shelf__name="left", label="1").update(count=5)
        try:
            with transaction.atomic():
                Shelf.objects.create(name="left")
        except IntegrityError:
            changed += 1
        return [changed, list(Thing.objects.order_by("id").values_list("label", "count"))]
    if part == "inspect":
        out = io.StringIO()
        call_command("inspectdb", "orders", stdout=out)
        return "class Orders(models.Model)" in out.getvalue()
    if part == "cancelled":
        raw = connection.cursor().connection
        Thread(target=lambda: sys.stdin.readline() and raw.cancel_safe(), daemon=True).start()
        try:
            with transaction.atomic():
                Shelf.objects.create(name="middle")
        except OperationalError as error:
            return [str(error).splitlines()[0], Shelf.objects.filter(name="middle").count()]
        return None
    try:
        Shelf.objects.create(name="right")
    except ProgrammingError as error:
        return [str(error).splitlines()[0], Shelf.objects.count()]
    return None


if __name__ == "__main__":
    configure()
    print(json.dumps(play(sys.argv[1])))

"""The Lambda entry. Imported by Lambda alone: elsewhere the package is `control_plane.chalicelib`, never both."""

from chalicelib.bootstrap import build

app = build()

# Lambda looks for each function by its name in this module.
due, notices, export, reconcile = (app.handler_map[name] for name in ("due", "notices", "export", "reconcile"))

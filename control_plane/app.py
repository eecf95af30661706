"""The Lambda entry. Imported by Lambda alone: elsewhere the package is `control_plane.chalicelib`, never both."""

from chalicelib.bootstrap import build

app = build()

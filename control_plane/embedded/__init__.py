"""Serves the control plane on one machine: `python -m control_plane.embedded bootstrap | serve`."""

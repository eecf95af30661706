"""The control plane behind `app.py`.

Imports are relative: it is `chalicelib` on Lambda, `control_plane.chalicelib` elsewhere.
"""

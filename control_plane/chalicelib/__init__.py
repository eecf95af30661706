"""The Chalice project's own package: `chalicelib` on Lambda, `control_plane.chalicelib` elsewhere, never both at once.

route ──▶ service ──▶ port ──▶ adapter          imports inside are relative, and go this way only
"""

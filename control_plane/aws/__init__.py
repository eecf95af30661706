"""What an owner runs for a deployment on AWS: `python -m control_plane.aws project | bootstrap | check`.

project ──▶ the folder that `chalice` packages      bootstrap ──▶ the first policy and people      check ──▶ reach
"""

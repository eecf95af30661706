"""What the control plane does, one file per task. Nothing here knows SQLite, files, AWS or HTTP."""

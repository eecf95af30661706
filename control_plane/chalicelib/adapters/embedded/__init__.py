"""Ports on one machine: SQLite, files, threads, and a small issuer. Not part of the Lambda package."""

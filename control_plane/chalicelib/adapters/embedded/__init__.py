"""The ports on one machine: SQLite, files and a thread for deadlines. Durable; no boundary against local code."""

"""The session core: `session` (the hot path), `scripts` (the slow ones), `events` (what it says to its shell)."""

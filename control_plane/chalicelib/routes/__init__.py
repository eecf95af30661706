"""Thin: a request in, a service asked, an answer out."""

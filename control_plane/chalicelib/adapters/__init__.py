"""Ports on real things: AWS, or one machine."""

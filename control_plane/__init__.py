"""The control plane: a Chalice project on Lambda, or served on one machine."""

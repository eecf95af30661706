"""What is asked of the outside: one Protocol per thing, for which each backend has an adapter."""

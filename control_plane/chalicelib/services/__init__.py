"""What is done, on ports."""

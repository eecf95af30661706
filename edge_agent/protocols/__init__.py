"""One package per protocol, each a sans-I/O core: bytes in, bytes out, no socket, clock or randomness."""

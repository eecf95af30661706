"""HTTP in, services, HTTP out. Thin: who calls is established here, what is permitted in the services."""

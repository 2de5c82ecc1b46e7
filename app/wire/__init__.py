"""Events to bytes: server-sent events and JSON. Pure functions, no I/O."""

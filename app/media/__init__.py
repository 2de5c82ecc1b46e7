"""Pictures and videos that callers send, made into what a model takes."""

"""One turn of a conversation: what to look up and what to say to the model."""

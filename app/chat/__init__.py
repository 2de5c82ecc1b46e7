"""One turn of a conversation: what to search for and what to send to the model."""

"""Parts of `scripts.evaluate`: how well the retrieval finds what answers a question."""

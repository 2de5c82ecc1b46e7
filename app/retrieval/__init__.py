"""Questions to passages: dense and lexical search over what was ingested."""

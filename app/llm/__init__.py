"""Messages to events: Llama 4 Scout first, Claude Haiku 4.5 when it cannot."""

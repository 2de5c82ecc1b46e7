"""ZANTARA's backend: answers on doing business in Indonesia from a knowledge base."""

__version__ = "0.1.0"

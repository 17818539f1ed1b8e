"""Embedders: pixels become vectors."""

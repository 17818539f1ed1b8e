"""Captioners: stages that say what an image shows."""

"""Plugins that follow runs."""

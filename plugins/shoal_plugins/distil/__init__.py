"""Distillers: stages that boil captions down to keywords."""

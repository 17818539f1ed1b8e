"""Stages that find the images of a source."""

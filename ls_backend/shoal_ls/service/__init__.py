"""The ML backend that Label Studio asks for predictions and tells of annotations."""

STATE = "backend"
"""Folder of the store that holds the inbox and the key of pictures."""

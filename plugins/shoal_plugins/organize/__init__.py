"""Organisers: plan where each file goes."""

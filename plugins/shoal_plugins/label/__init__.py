"""Labellers: stages that name clusters."""

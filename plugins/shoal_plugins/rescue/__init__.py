"""Rescuers: stages that suggest clusters for noise images."""

"""Reads hostile bytes with Pillow. Stands alone (Pillow, numpy): the guarded child imports nothing else."""

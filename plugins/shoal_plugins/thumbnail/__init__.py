"""Stages that make the small pictures of reports and reviews."""

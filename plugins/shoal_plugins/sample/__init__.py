"""Built-in samplers: representatives of each cluster."""

"""Built-in evaluators: how good clusters are."""

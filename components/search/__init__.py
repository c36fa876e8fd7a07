"""Search: which values of a model's configuration are best, found by trainings that are stopped early and resumed."""

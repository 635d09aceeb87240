"""Metrics, the held-out benchmark, and the predictors that a network has to beat."""

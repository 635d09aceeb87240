"""Synthetic people, losses and training."""

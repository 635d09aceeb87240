"""Rendered people with exact truth (CUFFS-style, from free parts)."""

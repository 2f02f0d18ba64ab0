"""Followers, which respond to a commitment; one family per file."""

"""Compiled forms of hot loops, with the signatures of what they replace and, bit for bit, their results."""

"""Scores with their protocol, and the gate that decides on them."""

"""Serving: the champions and the pages of all runs over HTTP, with a password and limits."""

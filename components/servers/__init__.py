"""Servers: how long one that is away is waited for, and that no secret of one is said."""

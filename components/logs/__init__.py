"""Logs: how this program's lines look: text, or JSON with run, stage, model and rank."""

"""Stages: the steps of a pipeline run, each from sections and artifacts to an artifact. Flows put them in order."""

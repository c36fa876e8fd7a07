"""Champions: models in service, on this machine, for the command line and for Python programs alike."""

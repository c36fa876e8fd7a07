"""Events: what happens to models and runs that people and other programs hear of, with a schema, and who is told."""

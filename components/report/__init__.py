"""Pages that show people what a run made, how good it is and why it was promoted or not."""

"""Worker: what torchrun starts on every rank, and what a rank shows of its work."""

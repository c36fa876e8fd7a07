"""Training: phases, the one loop, schedules, averaging, checkpoints and the guard. Families differ only in phases."""

"""Learning-rate and decay schedules, parameter groups and losses."""

"""Fuzzing of everything that reads what a stranger wrote: `make fuzz`, and a short form with the slow tests."""

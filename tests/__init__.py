"""The tests. A package of its own because an installed distribution also brings one named `tests`."""

"""Faults injected for real, and what is left after them: `make chaos`, or `python -m tests.chaos --help`.

Workers, servers and writers are processes of their own that are killed with SIGKILL at random moments (of a seed),
disks are full and read-only, clocks jump, services behind a URL hang, lie and die. A worker here is forked from a
process that has loaded the libraries already, which saves the seconds of loading them; what it runs is the worker's own
main.
"""

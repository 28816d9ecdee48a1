"""Doing one job with many processes that train or embed together: on this host, on several, or on SLURM.

The worker of the job stays what it is to everybody else: it waits for its turn, gives signs of life, notices the wish
to cancel, and closes the job. It does not do the work itself but has it done (`supervise`) by processes (`process`),
which accelerate (`hosts`) or SLURM (`slurm`) starts. Worker and processes speak through a folder (`board`), so that
they need nothing but the workspace on a file system that all of them see.
"""

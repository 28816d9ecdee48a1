"""Every method on the demo, over seeds of training, unlearning and evaluation: what `muc bench-methods` runs.

`plan` says what is to be made and evaluated, `search` finds settings for it, `work` does one such task, `pool` all of
them in several processes, `run` keeps what comes and skips what is there, `report` makes tables of it.
"""

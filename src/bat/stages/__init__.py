"""The stages of the pipeline: one module, one command and one rule each.

A stage module offers ``DETERMINISM`` (how exactly a rebuild repeats it) and ``run(job, settings)``.
"""

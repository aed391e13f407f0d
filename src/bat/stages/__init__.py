"""The stages of the pipeline: one module, one command and one rule each.

A stage module offers ``DETERMINISM`` (how exactly a rebuild repeats it) and ``run(job, settings)``.
Where a rebuild may differ, ``TOLERANCES`` says by how much, by the names of the files; None stands
for a file of which only the form can be compared, and a file that is not named must be the same.
"""

# Read every record behind their inputs, not only the inputs.
READS_CHAIN = ("audit",)

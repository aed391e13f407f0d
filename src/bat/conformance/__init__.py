"""Conformance: whether this installation computes what the published method computes.

A golden folder holds small cases with random weights, their inputs and the results that the
reference implementation gave. One module per family of cases says how a case is computed here and
how far the result may be off; ``run`` goes through a folder.
"""

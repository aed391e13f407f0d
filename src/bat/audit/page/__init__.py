"""The audit page: one self-contained file that shows how every number came to be.

The page is a view, not a result. It reads records as they are, has no recipe of its own, and may
be made anew at any time; the same records give the same bytes.
"""

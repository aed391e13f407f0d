"""Listings as plain objects, for comparisons."""

from bat.data.entries import Entry, Event


def entries_of(listing):
    """Return the entries of a listing as objects."""
    return [
        Entry(
            **row
            | {
                "labels": tuple(row["labels"]),
                "events": tuple(Event(**event) for event in row["events"]),
            }
        )
        for row in listing.entries.iter_rows(named=True)
    ]


def contents(listing):
    """Return all that a listing says, but not where the list says it."""
    return entries_of(listing), listing.classes, listing.order

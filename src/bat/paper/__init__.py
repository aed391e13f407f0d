"""The paper that this project rebuilds, and where its reference implementation differs from it."""

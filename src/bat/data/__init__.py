"""Data sets as tables: source files, ledgers, manifests and shards."""

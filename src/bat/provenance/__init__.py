"""How each result came to be: recipes, run logs, verification and lineage."""

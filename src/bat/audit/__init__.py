"""Where each number came from, and whether it holds."""

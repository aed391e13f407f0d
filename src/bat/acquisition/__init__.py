"""From what the world publishes to recordings on disk, with every loss accounted for."""

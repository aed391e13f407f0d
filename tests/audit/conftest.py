from provenance.conftest import here

__all__ = ["here"]

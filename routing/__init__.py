"""Asking for routes under what was learned."""

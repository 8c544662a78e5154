"""Criteria: modules that return a scalar."""

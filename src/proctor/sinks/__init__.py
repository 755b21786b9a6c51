"""Outputs for programs: one format a file."""

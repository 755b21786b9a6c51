"""The road, wired: a recording's records in, events out."""

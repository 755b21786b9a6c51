"""What this host offers, and what of each process's TLS is seen: `proctor doctor`'s findings."""

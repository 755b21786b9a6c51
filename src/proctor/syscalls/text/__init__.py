"""From a record and its memory to text as strace prints it."""

"""A watch: the launcher and the processes beside it, from first probe to last record."""

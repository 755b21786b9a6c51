"""What programs do to the machine: processes, connections, names (Records -> Events)."""

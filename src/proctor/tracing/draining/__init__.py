"""From the kernel's rings by way of the spool to batches, in the order of the calls' ends."""

"""What is asked of a trace that is over: shown, counted, compared."""

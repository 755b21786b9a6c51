"""What the tracer works on: tables of calls, and what they say of themselves."""

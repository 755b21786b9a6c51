"""What is written of a trace while it goes on: text, JSON lines, events, Arrow, Parquet."""

"""A trace as columns: Arrow, Parquet, and files of it read back."""

"""Which functions a call came from: addresses, where code lies, names."""

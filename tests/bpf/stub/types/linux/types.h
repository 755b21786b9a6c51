/* The types come with cffi: see build.py. */

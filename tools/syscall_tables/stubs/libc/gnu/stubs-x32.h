/* Which functions libc lacks: nothing that constants depend on. */

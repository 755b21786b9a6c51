/* arch_prctl is a call of x86 alone. */
#if defined(__x86_64__) || defined(__i386__)
#include <asm/prctl.h>
#endif

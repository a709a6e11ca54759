/*
 * Calling pieces of an i386 function that run in its frame: filters, __finally blocks, catch
 * blocks.
 */
#ifndef WIN32_CRT_SEH_I386_H
#define WIN32_CRT_SEH_I386_H

#ifdef __i386__

#include <stdint.h>

/* With the ebp of the frame and nothing else; the registers that C keeps come back. */
int32_t crt_seh_call(uintptr_t function, uintptr_t ebp);

#endif
#endif

/*
 * _JUMP_BUFFER of i386 (setjmp.h).
 */
#ifndef WIN32_CRT_JUMP_H
#define WIN32_CRT_JUMP_H

#ifdef __i386__

#include <stdint.h>

#include "loader/abi.h"

struct ke_registration;

struct crt_jump {
    uint32_t ebp, ebx, edi, esi, esp, eip;
    struct ke_registration *frame; /* the innermost one of the caller of setjmp */
    int32_t level;                 /* its level of __try */
    uint32_t cookie;               /* CRT_JUMP_COOKIE: what follows is there */
    void(WINAPI *unwind)(const struct crt_jump *jump);
    uint32_t data[6];
};
_Static_assert(sizeof(struct crt_jump) == 64, "_JUMP_BUFFER");
#define CRT_JUMP_COOKIE 0x56433230u /* 'VC20' */

/* What longjmp unwinds before it goes (seh_i386.c). */
void crt_jump_unwind(const struct crt_jump *jump);

#endif
#endif

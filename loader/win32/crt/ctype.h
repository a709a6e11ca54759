/*
 * The bits of _pctype, as msvcrt's and UCRT's ctype.h document them, and the table itself.
 */
#ifndef WIN32_CRT_CTYPE_H
#define WIN32_CRT_CTYPE_H

#include <stdint.h>

enum crt_class {
    CRT_UPPER = 0x1,
    CRT_LOWER = 0x2,
    CRT_DIGIT = 0x4,
    CRT_SPACE = 0x8,
    CRT_PUNCT = 0x10,
    CRT_CONTROL = 0x20,
    CRT_BLANK = 0x40,
    CRT_HEX = 0x80,
    CRT_LEADBYTE = 0x8000,
    CRT_ALPHA = 0x103,
    CRT_ALNUM = CRT_ALPHA | CRT_DIGIT,
    CRT_GRAPH = CRT_ALNUM | CRT_PUNCT,
    CRT_PRINT = CRT_GRAPH | CRT_BLANK,
};

/* Entry [c + 1] is for character c; [0] is EOF's. */
extern const uint16_t crt_ctype_table[257];

#endif

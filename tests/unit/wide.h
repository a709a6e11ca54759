/*
 * UTF-16 texts for tests: W("text") and back, in a few rotating buffers; ASCII and Latin-1 only.
 */
#ifndef TESTS_WIDE_H
#define TESTS_WIDE_H

#include <stddef.h>
#include <stdint.h>

#define WIDE_MAX 4096

static inline uint16_t *W(const char *text)
{
    static uint16_t buffers[8][WIDE_MAX];
    static int turn;
    uint16_t *out = buffers[turn++ % 8];
    size_t i = 0;
    for (; text[i] && i + 1 < WIDE_MAX; i++)
        out[i] = (uint8_t)text[i];
    out[i] = 0;
    return out;
}

static inline char *narrow(const uint16_t *text)
{
    static char buffers[4][WIDE_MAX];
    static int turn;
    char *out = buffers[turn++ % 4];
    size_t i = 0;
    for (; text[i] && i + 1 < WIDE_MAX; i++)
        out[i] = text[i] < 256 ? (char)text[i] : '?';
    out[i] = 0;
    return out;
}

#endif

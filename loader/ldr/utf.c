/*
 * UTF-8 <-> UTF-16 and the ASCII case folding of module names.
 *
 * Well-formed sequences are those of the Unicode Standard, table 3-7; each maximal part of an
 * ill-formed one becomes one U+FFFD, as the standard recommends (chapter 3.9).
 */
#include <string.h>

#include "loader/ldr/path.h"

#define REPLACEMENT 0xFFFDu

/* One row of table 3-7: lead bytes, sequence length, and the range of the second byte. */
struct lead {
    uint8_t first, last, length, second_low, second_high;
};

static const struct lead leads[] = {
    {0x00, 0x7F, 1, 0x00, 0x00}, {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF},
    {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

static const struct lead *lead_of(uint8_t byte)
{
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
        if (byte >= leads[i].first && byte <= leads[i].last)
            return &leads[i];
    return NULL;
}

/* Decodes one character of `len` > 0 bytes; returns the bytes used. */
static size_t decode_utf8(const uint8_t *in, size_t len, uint32_t *character)
{
    const struct lead *lead = lead_of(in[0]);
    *character = REPLACEMENT;
    if (lead == NULL)
        return 1;
    if (lead->length == 1) {
        *character = in[0];
        return 1;
    }
    uint32_t value = in[0] & (0x7Fu >> lead->length);
    for (size_t i = 1; i < lead->length; i++) {
        uint8_t low = i == 1 ? lead->second_low : 0x80;
        uint8_t high = i == 1 ? lead->second_high : 0xBF;
        if (i >= len || in[i] < low || in[i] > high)
            return i;
        value = value << 6 | (in[i] & 0x3Fu);
    }
    *character = value;
    return lead->length;
}

static size_t encode_utf8(uint32_t character, char out[4])
{
    static const uint8_t marks[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    size_t length = 1;
    if (character >= 0x80)
        length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length; i > 1; i--) {
        out[i - 1] = (char)(0x80 | (character & 0x3F));
        character >>= 6;
    }
    out[0] = (char)(marks[length] | character);
    return length;
}

static size_t decode_utf16(const uint16_t *in, size_t len, uint32_t *character)
{
    *character = in[0];
    if ((in[0] & 0xF800) != 0xD800)
        return 1;
    if (in[0] >= 0xDC00 || len < 2 || (in[1] & 0xFC00) != 0xDC00) {
        *character = REPLACEMENT;
        return 1;
    }
    *character = 0x10000 + ((in[0] & 0x3FFu) << 10 | (in[1] & 0x3FFu));
    return 2;
}

static size_t encode_utf16(uint32_t character, uint16_t out[2])
{
    if (character < 0x10000) {
        out[0] = (uint16_t)character;
        return 1;
    }
    out[0] = (uint16_t)(0xD800 | (character - 0x10000) >> 10);
    out[1] = (uint16_t)(0xDC00 | (character & 0x3FF));
    return 2;
}

size_t ldr_utf8_to_utf16(const char *in, size_t in_len, uint16_t *out, size_t size)
{
    size_t needed = 0, written = 0;
    size_t i = 0;
    for (; i < in_len && (uint8_t)in[i] < 0x80 && i + 1 < size; i++)
        out[i] = (uint8_t)in[i];
    written = i;
    while (i < in_len && (uint8_t)in[i] < 0x80) /* all of it, when only the size is asked for */
        i++;
    needed = i;
    while (i < in_len) {
        uint32_t character;
        uint16_t units[2];
        i += decode_utf8((const uint8_t *)in + i, in_len - i, &character);
        size_t n = encode_utf16(character, units);
        if (written == needed && n < size - written) {
            memcpy(out + written, units, n * sizeof(units[0]));
            written += n;
        }
        needed += n;
    }
    if (size > 0)
        out[written] = 0;
    return needed;
}

size_t ldr_utf16_to_utf8(const uint16_t *in, size_t in_len, char *out, size_t size)
{
    size_t needed = 0, written = 0;
    for (size_t i = 0; i < in_len;) {
        uint32_t character;
        char bytes[4];
        i += decode_utf16(in + i, in_len - i, &character);
        size_t n = encode_utf8(character, bytes);
        if (written == needed && n < size - written) {
            memcpy(out + written, bytes, n);
            written += n;
        }
        needed += n;
    }
    if (size > 0)
        out[written] = '\0';
    return needed;
}

static int fold(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (uint8_t)c;
}

int ldr_casecmp(const char *a, const char *b)
{
    while (*a != '\0' && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return fold(*a) - fold(*b);
}

bool ldr_casesame(const char *a, const char *b, size_t length)
{
    size_t i = 0;
    while (i < length && fold(a[i]) == fold(b[i]))
        i++;
    return i == length;
}

/* FNV-1a (Fowler, Noll, Vo). */
uint32_t ldr_casehash(const char *name, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint32_t)fold(name[i])) * 16777619u;
    return hash;
}

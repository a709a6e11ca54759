/*
 * Multibyte characters and wide ones: mbstowcs, wcstombs, mbrtowc and their like, by the code page
 * of LC_CTYPE. wchar_t is UTF-16, so a character beyond U+FFFF takes two calls of mbrtowc.
 */
#include <stdlib.h>

#include "loader/win32/crt/internal.h"

#define FAILED       ((size_t)-1)
#define INCOMPLETE   ((size_t)-2)
#define WEOF_WINDOWS ((crt_wchar)0xFFFF)

/* mbstate_t of Windows: what images keep between calls. */
struct mbstate {
    uint32_t value; /* bytes of an unfinished character, or a surrogate yet to be delivered */
    uint16_t byte_count, lead;
};
static __thread struct mbstate own_state;

/* ---- one character
 * ---------------------------------------------------------------------------------------- */

static size_t decode_state(crt_wchar *out, const char *in, size_t size, struct mbstate *state)
{
    if (in == NULL) {
        *state = (struct mbstate){0};
        return 0;
    }
    if (state->lead != 0) { /* the second half of a pair: consumes nothing more */
        if (out != NULL) {
            *out = state->lead;
        }
        *state = (struct mbstate){0};
        return 0;
    }
    char bytes[4];
    size_t held = state->byte_count, used;
    memcpy(bytes, &state->value, sizeof(bytes));
    for (size_t taken = 0; taken < size && held < sizeof(bytes);) {
        crt_wchar units[2];
        bytes[held++] = in[taken++];
        int n = crt_decode(bytes, held, &used, units);
        if (n < 0) {
            break;
        }
        if (n > 0) {
            *state = (struct mbstate){.lead = n == 2 ? units[1] : 0};
            if (out != NULL) {
                *out = units[0];
            }
            return units[0] != 0 ? taken : 0;
        }
        if (taken == size) {
            state->byte_count = (uint16_t)held;
            memcpy(&state->value, bytes, sizeof(bytes));
            return INCOMPLETE;
        }
    }
    if (size == 0) {
        return INCOMPLETE;
    }
    *state = (struct mbstate){0};
    crt_set_errno(CRT_EILSEQ);
    return FAILED;
}

static WINCDECL_DEF size_t crt_mbrtowc(crt_wchar *out, const char *in, size_t size,
                                       struct mbstate *state)
{
    return decode_state(out, in, size, state != NULL ? state : &own_state);
}

static WINCDECL_DEF size_t crt_mbrlen(const char *in, size_t size, struct mbstate *state)
{
    return decode_state(NULL, in, size, state != NULL ? state : &own_state);
}

static WINCDECL_DEF int crt_mbtowc(crt_wchar *out, const char *in, size_t size)
{
    struct mbstate state = {0};
    if (in == NULL || size == 0) {
        return 0;
    }
    size_t used = decode_state(out, in, size, &state);
    return used == FAILED || used == INCOMPLETE ? -1 : (int)used;
}

static WINCDECL_DEF int crt_mblen(const char *in, size_t size)
{
    return crt_mbtowc(NULL, in, size);
}

static size_t encode_state(char *out, crt_wchar c, struct mbstate *state)
{
    crt_wchar pair[2] = {state->lead, c};
    char bytes[4];
    size_t used;
    if (out == NULL) {
        *state = (struct mbstate){0};
        return 1;
    }
    bool second = state->lead != 0;
    int n = crt_encode(second ? pair : pair + 1, second ? 2 : 1, &used, bytes);
    *state = (struct mbstate){.lead = n == 0 ? c : 0};
    if (n < 0) {
        crt_set_errno(CRT_EILSEQ);
        return FAILED;
    }
    memcpy(out, bytes, (size_t)n);
    return (size_t)n;
}

static WINCDECL_DEF size_t crt_wcrtomb(char *out, crt_wchar c, struct mbstate *state)
{
    return encode_state(out, c, state != NULL ? state : &own_state);
}

static WINCDECL_DEF int crt_wcrtomb_s(size_t *length, char *out, size_t room, crt_wchar c,
                                      struct mbstate *state)
{
    char bytes[4];
    size_t n = crt_wcrtomb(out != NULL ? bytes : NULL, c, state);
    if (length != NULL) {
        *length = n;
    }
    if (n == FAILED) {
        return CRT_EILSEQ;
    }
    if (out != NULL && n > room) {
        return crt_invalid(CRT_ERANGE);
    }
    if (out != NULL) {
        memcpy(out, bytes, n);
    }
    return 0;
}

static WINCDECL_DEF int crt_wctomb(char *out, crt_wchar c)
{
    struct mbstate state = {0};
    if (out == NULL) {
        return 0;
    }
    size_t n = encode_state(out, c, &state);
    return n == FAILED || n == 0 ? -1 : (int)n;
}

static WINCDECL_DEF int crt_wctomb_s(int *length, char *out, size_t room, crt_wchar c)
{
    char bytes[4];
    int n = crt_wctomb(out != NULL ? bytes : NULL, c);
    if (length != NULL) {
        *length = n;
    }
    if (n < 0) {
        return CRT_EILSEQ;
    }
    if (out != NULL && (size_t)n > room) {
        return crt_invalid(CRT_ERANGE);
    }
    if (out != NULL) {
        memcpy(out, bytes, (size_t)n);
    }
    return 0;
}

static WINCDECL_DEF crt_wchar crt_btowc(int c)
{
    char byte = (char)c;
    crt_wchar out[2];
    size_t used;
    return c >= 0 && c < 256 && crt_decode(&byte, 1, &used, out) == 1 ? out[0] : WEOF_WINDOWS;
}

static WINCDECL_DEF int crt_wctob(crt_wchar c)
{
    char bytes[4];
    size_t used;
    return c != WEOF_WINDOWS && crt_encode(&c, 1, &used, bytes) == 1 ? (unsigned char)bytes[0] : -1;
}

/* ---- strings
 * ------------------------------------------------------------------------------------------------
 */

/*
 * Converts up to `room` units (no limit when `out` is NULL). Returns units without the NUL, or
 * FAILED;
 * `*end` is where it stopped, NULL after the NUL.
 */
static size_t widen_string(crt_wchar *out, const char *in, size_t room, const char **end)
{
    size_t count = 0, size = strlen(in);
    *end = in;
    for (size_t at = 0, used; at < size; at += used) {
        crt_wchar units[2];
        int n = crt_decode(in + at, size - at, &used, units);
        if (n <= 0) {
            crt_set_errno(CRT_EILSEQ);
            return FAILED;
        }
        if (out != NULL && count + (size_t)n > room) {
            return count;
        }
        for (int i = 0; i < n; i++, count++) {
            if (out != NULL) {
                out[count] = units[i];
            }
        }
        *end = in + at + used;
    }
    if (out != NULL && count < room) {
        out[count] = 0;
        *end = NULL;
    }
    return count;
}

static size_t narrow_string(char *out, const crt_wchar *in, size_t room, const crt_wchar **end)
{
    size_t count = 0, size = crt_wlen(in);
    *end = in;
    for (size_t at = 0, used; at < size; at += used) {
        char bytes[4];
        int n = crt_encode(in + at, size - at, &used, bytes);
        if (n <= 0) {
            crt_set_errno(CRT_EILSEQ);
            return FAILED;
        }
        if (out != NULL && count + (size_t)n > room) {
            return count;
        }
        if (out != NULL) {
            memcpy(out + count, bytes, (size_t)n);
        }
        count += (size_t)n;
        *end = in + at + used;
    }
    if (out != NULL && count < room) {
        out[count] = 0;
        *end = NULL;
    }
    return count;
}

static WINCDECL_DEF size_t crt_mbstowcs(crt_wchar *out, const char *in, size_t room)
{
    const char *end;
    return in != NULL ? widen_string(out, in, room, &end) : FAILED;
}

static WINCDECL_DEF size_t crt_wcstombs(char *out, const crt_wchar *in, size_t room)
{
    const crt_wchar *end;
    return in != NULL ? narrow_string(out, in, room, &end) : FAILED;
}

static WINCDECL_DEF size_t crt_mbsrtowcs(crt_wchar *out, const char **in, size_t room,
                                         struct mbstate *state)
{
    const char *end;
    size_t count = widen_string(out, *in, room, &end);
    if (out != NULL) {
        *in = end;
    }
    return count;
}

static WINCDECL_DEF size_t crt_wcsrtombs(char *out, const crt_wchar **in, size_t room,
                                         struct mbstate *state)
{
    const crt_wchar *end;
    size_t count = narrow_string(out, *in, room, &end);
    if (out != NULL) {
        *in = end;
    }
    return count;
}

/* The _s functions: `*length` counts the NUL; at most `maximum` units, CRT's _TRUNCATE = what fits.
 */
static int finish_secure(void *out, bool wide, size_t room, size_t count, size_t maximum,
                         size_t *length)
{
    int result = 0;
    if (count == FAILED) {
        count = 0;
        result = CRT_EILSEQ;
    } else if (count > maximum) {
        count = maximum;
    }
    if (out != NULL && count >= room) {
        result = maximum == SIZE_MAX ? CRT_STRUNCATE : crt_invalid(CRT_ERANGE);
        count = maximum == SIZE_MAX && room != 0 ? room - 1 : 0;
    }
    if (out != NULL && room != 0) {
        memset((char *)out + (wide ? count * sizeof(crt_wchar) : count), 0,
               wide ? sizeof(crt_wchar) : 1);
    }
    if (length != NULL) {
        *length = count + 1;
    }
    return result;
}

static WINCDECL_DEF int crt_mbstowcs_s(size_t *length, crt_wchar *out, size_t room, const char *in,
                                       size_t maximum)
{
    if (in == NULL || (out == NULL) != (room == 0)) {
        return crt_invalid(CRT_EINVAL);
    }
    size_t count = crt_mbstowcs(NULL, in, 0);
    if (count != FAILED && out != NULL) {
        crt_mbstowcs(out, in, maximum < room ? maximum : room);
    }
    return finish_secure(out, true, room, count, maximum, length);
}

static WINCDECL_DEF int crt_wcstombs_s(size_t *length, char *out, size_t room, const crt_wchar *in,
                                       size_t maximum)
{
    if (in == NULL || (out == NULL) != (room == 0)) {
        return crt_invalid(CRT_EINVAL);
    }
    size_t count = crt_wcstombs(NULL, in, 0);
    if (count != FAILED && out != NULL) {
        crt_wcstombs(out, in, maximum < room ? maximum : room);
    }
    return finish_secure(out, false, room, count, maximum, length);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(mbrtowc),   CRT_FN(mbrlen),    CRT_FN(mbtowc),     CRT_FN(mblen),
    CRT_FN(wcrtomb),   CRT_FN(wcrtomb_s), CRT_FN(wctomb),     CRT_FN(wctomb_s),
    CRT_FN(btowc),     CRT_FN(wctob),     CRT_FN(mbstowcs),   CRT_FN(wcstombs),
    CRT_FN(mbsrtowcs), CRT_FN(wcsrtombs), CRT_FN(mbstowcs_s), CRT_FN(wcstombs_s),
};
CRT_FAMILY(crt_mb_family, functions);

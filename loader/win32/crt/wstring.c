/*
 * Wide strings: wcs* and _wcs* over UTF-16 units. glibc's wchar_t has 32 bits, so these are our
 * own.
 */
#include <stdlib.h>

#include "loader/win32/crt/internal.h"

#define NLSCMPERROR 0x7FFFFFFF

static size_t bounded(const crt_wchar *s, size_t size)
{
    size_t n = 0;
    while (n < size && s[n] != 0) {
        n++;
    }
    return n;
}

static void copy(crt_wchar *to, const crt_wchar *from, size_t count)
{
    memmove(to, from, count * sizeof(*to));
}

static WINCDECL_DEF size_t crt_wcslen(const crt_wchar *s)
{
    return crt_wlen(s);
}

static WINCDECL_DEF size_t crt_wcsnlen(const crt_wchar *s, size_t size)
{
    return bounded(s, size);
}

static WINCDECL_DEF int crt_wcsncmp(const crt_wchar *a, const crt_wchar *b, size_t size)
{
    for (; size > 0; size--, a++, b++) {
        if (*a != *b) {
            return *a < *b ? -1 : 1;
        }
        if (*a == 0) {
            break;
        }
    }
    return 0;
}

static WINCDECL_DEF int crt_wcscmp(const crt_wchar *a, const crt_wchar *b)
{
    return crt_wcsncmp(a, b, SIZE_MAX);
}

static WINCDECL_DEF int crt__wcsnicmp(const crt_wchar *a, const crt_wchar *b, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (a == NULL || b == NULL) {
        crt_invalid(CRT_EINVAL);
        return NLSCMPERROR;
    }
    for (; size > 0; size--, a++, b++) {
        int order = crt_wlower(*a) - crt_wlower(*b);
        if (order != 0 || *a == 0) {
            return order;
        }
    }
    return 0;
}

static WINCDECL_DEF int crt__wcsicmp(const crt_wchar *a, const crt_wchar *b)
{
    return crt__wcsnicmp(a, b, SIZE_MAX);
}

static WINCDECL_DEF crt_wchar *crt_wcscpy(crt_wchar *to, const crt_wchar *from)
{
    copy(to, from, crt_wlen(from) + 1);
    return to;
}

static WINCDECL_DEF crt_wchar *crt_wcsncpy(crt_wchar *to, const crt_wchar *from, size_t size)
{
    size_t length = bounded(from, size);
    copy(to, from, length);
    memset(to + length, 0, (size - length) * sizeof(*to));
    return to;
}

static WINCDECL_DEF crt_wchar *crt_wcscat(crt_wchar *to, const crt_wchar *from)
{
    crt_wcscpy(to + crt_wlen(to), from);
    return to;
}

static WINCDECL_DEF crt_wchar *crt_wcsncat(crt_wchar *to, const crt_wchar *from, size_t size)
{
    size_t length = bounded(from, size);
    crt_wchar *end = to + crt_wlen(to);
    copy(end, from, length);
    end[length] = 0;
    return to;
}

static WINCDECL_DEF crt_wchar *crt_wcschr(const crt_wchar *s, crt_wchar c)
{
    for (; *s != c; s++) {
        if (*s == 0) {
            return NULL;
        }
    }
    return (crt_wchar *)s;
}

static WINCDECL_DEF crt_wchar *crt_wcsrchr(const crt_wchar *s, crt_wchar c)
{
    const crt_wchar *at = s + crt_wlen(s);
    while (*at != c && at > s) {
        at--;
    }
    return *at == c ? (crt_wchar *)at : NULL;
}

static WINCDECL_DEF crt_wchar *crt_wcsstr(const crt_wchar *s, const crt_wchar *part)
{
    size_t length = crt_wlen(part);
    for (;; s++) {
        if (crt_wcsncmp(s, part, length) == 0) {
            return (crt_wchar *)s;
        }
        if (*s == 0) {
            return NULL;
        }
    }
}

/* Characters at the start of `s` that are (or are not) in `set`. */
static size_t span(const crt_wchar *s, const crt_wchar *set, bool in)
{
    size_t n = 0;
    while (s[n] != 0 && (crt_wcschr(set, s[n]) != NULL) == in) {
        n++;
    }
    return n;
}

static WINCDECL_DEF size_t crt_wcsspn(const crt_wchar *s, const crt_wchar *set)
{
    return span(s, set, true);
}

static WINCDECL_DEF size_t crt_wcscspn(const crt_wchar *s, const crt_wchar *set)
{
    return span(s, set, false);
}

static WINCDECL_DEF crt_wchar *crt_wcspbrk(const crt_wchar *s, const crt_wchar *set)
{
    s += span(s, set, false);
    return *s != 0 ? (crt_wchar *)s : NULL;
}

static crt_wchar *token(crt_wchar *s, const crt_wchar *delimiters, crt_wchar **next)
{
    s = s != NULL ? s : *next;
    if (s == NULL) {
        return NULL;
    }
    s += span(s, delimiters, true);
    crt_wchar *end = s + span(s, delimiters, false);
    *next = end;
    if (*end != 0) {
        *end = 0;
        *next = end + 1;
    }
    return *s != 0 ? s : NULL;
}

static WINCDECL_DEF crt_wchar *crt_wcstok_s(crt_wchar *s, const crt_wchar *delimiters,
                                            crt_wchar **next)
{
    if (next == NULL || delimiters == NULL) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    return token(s, delimiters, next);
}

/* msvcrt's takes two arguments, UCRT's a third that may be NULL. */
static WINCDECL_DEF crt_wchar *msvcrt_wcstok(crt_wchar *s, const crt_wchar *delimiters)
{
    return token(s, delimiters, &crt_thread()->wcstok_next);
}

static WINCDECL_DEF crt_wchar *ucrt_wcstok(crt_wchar *s, const crt_wchar *delimiters,
                                           crt_wchar **next)
{
    return token(s, delimiters, next != NULL ? next : &crt_thread()->wcstok_next);
}

static WINCDECL_DEF crt_wchar *crt__wcsdup(const crt_wchar *s)
{
    if (s == NULL) {
        return NULL;
    }
    return crt_heap_copy(s, (crt_wlen(s) + 1) * sizeof(*s));
}

static WINCDECL_DEF size_t crt_wcsxfrm(crt_wchar *to, const crt_wchar *from, size_t size)
{
    size_t length = crt_wlen(from);
    if (to != NULL && size != 0) {
        copy(to, from, length < size ? length + 1 : size);
    }
    return length;
}

/* ---- in place
 * ----------------------------------------------------------------------------------------- */

static WINCDECL_DEF crt_wchar *crt__wcslwr(crt_wchar *s)
{
    for (crt_wchar *c = s; *c != 0; c++) {
        *c = crt_wlower(*c);
    }
    return s;
}

static WINCDECL_DEF crt_wchar *crt__wcsupr(crt_wchar *s)
{
    for (crt_wchar *c = s; *c != 0; c++) {
        *c = crt_wupper(*c);
    }
    return s;
}

static bool fits(const crt_wchar *s, size_t size)
{
    return s != NULL && bounded(s, size) < size;
}

static WINCDECL_DEF int crt__wcslwr_s(crt_wchar *s, size_t size)
{
    if (!fits(s, size)) {
        return crt_invalid(CRT_EINVAL);
    }
    crt__wcslwr(s);
    return 0;
}

static WINCDECL_DEF int crt__wcsupr_s(crt_wchar *s, size_t size)
{
    if (!fits(s, size)) {
        return crt_invalid(CRT_EINVAL);
    }
    crt__wcsupr(s);
    return 0;
}

static WINCDECL_DEF crt_wchar *crt__wcsrev(crt_wchar *s)
{
    for (size_t i = 0, j = crt_wlen(s); i + 1 < j; i++) {
        crt_wchar c = s[i];
        s[i] = s[--j];
        s[j] = c;
    }
    return s;
}

static WINCDECL_DEF crt_wchar *crt__wcsnset(crt_wchar *s, crt_wchar c, size_t size)
{
    for (size_t i = 0; i < size && s[i] != 0; i++) {
        s[i] = c;
    }
    return s;
}

static WINCDECL_DEF crt_wchar *crt__wcsset(crt_wchar *s, crt_wchar c)
{
    return crt__wcsnset(s, c, SIZE_MAX);
}

/* ---- the _s functions: too small a buffer is emptied
 * ------------------------------------------------------ */

static int refuse(crt_wchar *to, size_t room, int error)
{
    if (to != NULL && room != 0) {
        to[0] = 0;
    }
    return crt_invalid(error);
}

static int copy_at(crt_wchar *to, size_t room, size_t at, const crt_wchar *from, size_t size,
                   bool truncate)
{
    size_t length = bounded(from, size);
    if (length >= room - at) {
        if (!truncate) {
            return refuse(to, room, CRT_ERANGE);
        }
        copy(to + at, from, room - at - 1);
        to[room - 1] = 0;
        return CRT_STRUNCATE;
    }
    copy(to + at, from, length);
    to[at + length] = 0;
    return 0;
}

static const crt_wchar nothing[] = {0};

static WINCDECL_DEF int crt_wcsncpy_s(crt_wchar *to, size_t room, const crt_wchar *from,
                                      size_t size)
{
    if (to == NULL && room == 0 && size == 0) {
        return 0;
    }
    if (to == NULL || room == 0 || (from == NULL && size != 0)) {
        return refuse(to, room, CRT_EINVAL);
    }
    return copy_at(to, room, 0, size != 0 ? from : nothing, size, size == SIZE_MAX);
}

static WINCDECL_DEF int crt_wcscpy_s(crt_wchar *to, size_t room, const crt_wchar *from)
{
    if (to == NULL || room == 0 || from == NULL) {
        return refuse(to, room, CRT_EINVAL);
    }
    return copy_at(to, room, 0, from, SIZE_MAX, false);
}

static int append_at(crt_wchar *to, size_t room, const crt_wchar *from, size_t size, bool truncate)
{
    if (to == NULL || room == 0 || from == NULL) {
        return refuse(to, room, CRT_EINVAL);
    }
    size_t used = bounded(to, room);
    if (used == room) {
        return refuse(to, room, CRT_EINVAL);
    }
    return copy_at(to, room, used, from, size, truncate);
}

static WINCDECL_DEF int crt_wcscat_s(crt_wchar *to, size_t room, const crt_wchar *from)
{
    return append_at(to, room, from, SIZE_MAX, false);
}

static WINCDECL_DEF int crt_wcsncat_s(crt_wchar *to, size_t room, const crt_wchar *from,
                                      size_t size)
{
    return append_at(to, room, size != 0 ? from : nothing, size, size == SIZE_MAX);
}

static WINCDECL_DEF int crt__wcsset_s(crt_wchar *s, size_t room, crt_wchar c)
{
    if (!fits(s, room)) {
        return refuse(s, room, CRT_EINVAL);
    }
    crt__wcsset(s, c);
    return 0;
}

static WINCDECL_DEF int crt__wcsnset_s(crt_wchar *s, size_t room, crt_wchar c, size_t size)
{
    if (!fits(s, room)) {
        return refuse(s, room, CRT_EINVAL);
    }
    crt__wcsnset(s, c, size);
    return 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(wcslen),
    CRT_FN(wcsnlen),
    CRT_AS(__wcsncnt, crt_wcsnlen),
    CRT_FN(wcscmp),
    CRT_FN(wcsncmp),
    CRT_FN(_wcsicmp),
    CRT_FN(_wcsnicmp),
    CRT_AS(wcscoll, crt_wcscmp),
    CRT_AS(_wcsncoll, crt_wcsncmp),
    CRT_AS(_wcsicoll, crt__wcsicmp),
    CRT_AS(_wcsnicoll, crt__wcsnicmp),
    CRT_FN(wcsxfrm),
    CRT_FN(wcscpy),
    CRT_FN(wcsncpy),
    CRT_FN(wcscat),
    CRT_FN(wcsncat),
    CRT_FN(wcschr),
    CRT_FN(wcsrchr),
    CRT_FN(wcsstr),
    CRT_FN(wcsspn),
    CRT_FN(wcscspn),
    CRT_FN(wcspbrk),
    CRT_FN(wcstok_s),
    CRT_FN(_wcsdup),
    CRT_FN(_wcslwr),
    CRT_FN(_wcsupr),
    CRT_FN(_wcslwr_s),
    CRT_FN(_wcsupr_s),
    CRT_FN(_wcsrev),
    CRT_FN(_wcsset),
    CRT_FN(_wcsnset),
    CRT_FN(_wcsset_s),
    CRT_FN(_wcsnset_s),
    CRT_FN(wcscpy_s),
    CRT_FN(wcsncpy_s),
    CRT_FN(wcscat_s),
    CRT_FN(wcsncat_s),
};
CRT_FAMILY(crt_wstring_family, functions);

static const struct ldr_builtin_export msvcrt_functions[] = {
    CRT_AS(wcstok, msvcrt_wcstok),
};
CRT_FAMILY(crt_msvcrt_wstring_family, msvcrt_functions);

static const struct ldr_builtin_export ucrt_functions[] = {
    CRT_AS(wcstok, ucrt_wcstok),
};
CRT_FAMILY(crt_ucrt_wstring_family, ucrt_functions);

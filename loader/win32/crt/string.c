/*
 * Narrow strings: str* and _str*, over glibc; comparison without case in ASCII only, as in the "C"
 * locale, and independent of the locale that the host program has set.
 */
#include <stdlib.h>

#include "loader/win32/crt/internal.h"

/* What the _stricmp family returns for invalid parameters. */
#define NLSCMPERROR 0x7FFFFFFF

static WINCDECL_DEF size_t crt_strlen(const char *s)
{
    return strlen(s);
}

static WINCDECL_DEF size_t crt_strnlen(const char *s, size_t size)
{
    return strnlen(s, size);
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static WINCDECL_DEF int crt_strcmp(const char *a, const char *b)
{
    return sign(strcmp(a, b));
}

static WINCDECL_DEF int crt_strncmp(const char *a, const char *b, size_t size)
{
    return sign(strncmp(a, b, size));
}

static WINCDECL_DEF char *crt_strcpy(char *to, const char *from)
{
    return strcpy(to, from);
}

static WINCDECL_DEF char *crt_strncpy(char *to, const char *from, size_t size)
{
    size_t length = strnlen(from, size);
    memmove(to, from, length);
    memset(to + length, 0, size - length);
    return to;
}

static WINCDECL_DEF char *crt_strcat(char *to, const char *from)
{
    return strcat(to, from);
}

static WINCDECL_DEF char *crt_strncat(char *to, const char *from, size_t size)
{
    size_t length = strnlen(from, size);
    char *end = to + strlen(to);
    memmove(end, from, length);
    end[length] = 0;
    return to;
}

static WINCDECL_DEF char *crt_strchr(const char *s, int c)
{
    return (char *)strchr(s, c);
}

static WINCDECL_DEF char *crt_strrchr(const char *s, int c)
{
    return (char *)strrchr(s, c);
}

static WINCDECL_DEF char *crt_strstr(const char *s, const char *part)
{
    return (char *)strstr(s, part);
}

static WINCDECL_DEF char *crt_strpbrk(const char *s, const char *set)
{
    return (char *)strpbrk(s, set);
}

static WINCDECL_DEF size_t crt_strspn(const char *s, const char *set)
{
    return strspn(s, set);
}

static WINCDECL_DEF size_t crt_strcspn(const char *s, const char *set)
{
    return strcspn(s, set);
}

static WINCDECL_DEF char *crt__strdup(const char *s)
{
    return s != NULL ? crt_heap_copy(s, strlen(s) + 1) : NULL;
}

static WINCDECL_DEF char *crt_strtok_s(char *s, const char *delimiters, char **next)
{
    if (next == NULL || delimiters == NULL || (s == NULL && *next == NULL)) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    return strtok_r(s, delimiters, next);
}

static WINCDECL_DEF char *crt_strtok(char *s, const char *delimiters)
{
    char **next = &crt_thread()->strtok_next;
    return s == NULL && *next == NULL ? NULL : strtok_r(s, delimiters, next);
}

/* ---- without case, collation
 * ----------------------------------------------------------------------- */

static WINCDECL_DEF int crt__strnicmp(const char *a, const char *b, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (a == NULL || b == NULL) {
        crt_invalid(CRT_EINVAL);
        return NLSCMPERROR;
    }
    for (; size > 0; size--, a++, b++) {
        int order = crt_lower((unsigned char)*a) - crt_lower((unsigned char)*b);
        if (order != 0 || *a == 0) {
            return order;
        }
    }
    return 0;
}

static WINCDECL_DEF int crt__stricmp(const char *a, const char *b)
{
    return crt__strnicmp(a, b, SIZE_MAX);
}

static WINCDECL_DEF size_t crt_strxfrm(char *to, const char *from, size_t size)
{
    size_t length = strlen(from);
    if (to != NULL && size != 0) {
        memcpy(to, from, length < size ? length + 1 : size);
    }
    return length;
}

/* ---- in place
 * ----------------------------------------------------------------------------------------- */

static WINCDECL_DEF char *crt__strlwr(char *s)
{
    for (char *c = s; *c != 0; c++) {
        *c = (char)crt_lower((unsigned char)*c);
    }
    return s;
}

static WINCDECL_DEF char *crt__strupr(char *s)
{
    for (char *c = s; *c != 0; c++) {
        *c = (char)crt_upper((unsigned char)*c);
    }
    return s;
}

static bool fits(const char *s, size_t size)
{
    return s != NULL && strnlen(s, size) < size;
}

static WINCDECL_DEF int crt__strlwr_s(char *s, size_t size)
{
    if (!fits(s, size)) {
        return crt_invalid(CRT_EINVAL);
    }
    crt__strlwr(s);
    return 0;
}

static WINCDECL_DEF int crt__strupr_s(char *s, size_t size)
{
    if (!fits(s, size)) {
        return crt_invalid(CRT_EINVAL);
    }
    crt__strupr(s);
    return 0;
}

static WINCDECL_DEF char *crt__strrev(char *s)
{
    for (size_t i = 0, j = strlen(s); i + 1 < j; i++) {
        char c = s[i];
        s[i] = s[--j];
        s[j] = c;
    }
    return s;
}

static WINCDECL_DEF char *crt__strnset(char *s, int c, size_t size)
{
    for (size_t i = 0; i < size && s[i] != 0; i++) {
        s[i] = (char)c;
    }
    return s;
}

static WINCDECL_DEF char *crt__strset(char *s, int c)
{
    return crt__strnset(s, c, SIZE_MAX);
}

/* ---- the _s functions: too small a buffer is emptied
 * ------------------------------------------------------ */

static int refuse(char *to, size_t room, int error)
{
    if (to != NULL && room != 0) {
        to[0] = 0;
    }
    return crt_invalid(error);
}

/* Copies at most `size` (SIZE_MAX = all, unless `truncate`) characters to to + at. */
static int copy_at(char *to, size_t room, size_t at, const char *from, size_t size, bool truncate)
{
    size_t length = strnlen(from, size);
    if (length >= room - at) {
        if (!truncate) {
            return refuse(to, room, CRT_ERANGE);
        }
        memmove(to + at, from, room - at - 1);
        to[room - 1] = 0;
        return CRT_STRUNCATE;
    }
    memmove(to + at, from, length);
    to[at + length] = 0;
    return 0;
}

static WINCDECL_DEF int crt_strncpy_s(char *to, size_t room, const char *from, size_t size)
{
    if (to == NULL && room == 0 && size == 0) {
        return 0;
    }
    if (to == NULL || room == 0 || (from == NULL && size != 0)) {
        return refuse(to, room, CRT_EINVAL);
    }
    return copy_at(to, room, 0, size != 0 ? from : "", size, size == SIZE_MAX);
}

static WINCDECL_DEF int crt_strcpy_s(char *to, size_t room, const char *from)
{
    if (to == NULL || room == 0 || from == NULL) {
        return refuse(to, room, CRT_EINVAL);
    }
    return copy_at(to, room, 0, from, SIZE_MAX, false);
}

static int append_at(char *to, size_t room, const char *from, size_t size, bool truncate)
{
    if (to == NULL || room == 0 || from == NULL) {
        return refuse(to, room, CRT_EINVAL);
    }
    size_t used = strnlen(to, room);
    if (used == room) {
        return refuse(to, room, CRT_EINVAL);
    }
    return copy_at(to, room, used, from, size, truncate);
}

static WINCDECL_DEF int crt_strcat_s(char *to, size_t room, const char *from)
{
    return append_at(to, room, from, SIZE_MAX, false);
}

static WINCDECL_DEF int crt_strncat_s(char *to, size_t room, const char *from, size_t size)
{
    return append_at(to, room, size != 0 ? from : "", size, size == SIZE_MAX);
}

static WINCDECL_DEF int crt__strset_s(char *s, size_t room, int c)
{
    if (!fits(s, room)) {
        return refuse(s, room, CRT_EINVAL);
    }
    crt__strset(s, c);
    return 0;
}

static WINCDECL_DEF int crt__strnset_s(char *s, size_t room, int c, size_t size)
{
    if (!fits(s, room)) {
        return refuse(s, room, CRT_EINVAL);
    }
    crt__strnset(s, c, size);
    return 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(strlen),
    CRT_FN(strnlen),
    CRT_AS(__strncnt, crt_strnlen),
    CRT_FN(strcmp),
    CRT_FN(strncmp),
    CRT_FN(strcpy),
    CRT_FN(strncpy),
    CRT_FN(strcat),
    CRT_FN(strncat),
    CRT_FN(strchr),
    CRT_FN(strrchr),
    CRT_FN(strstr),
    CRT_FN(strpbrk),
    CRT_FN(strspn),
    CRT_FN(strcspn),
    CRT_FN(_strdup),
    CRT_FN(strtok),
    CRT_FN(strtok_s),
    CRT_FN(_stricmp),
    CRT_AS(_strcmpi, crt__stricmp),
    CRT_FN(_strnicmp),
    CRT_AS(strcoll, crt_strcmp),
    CRT_AS(_strncoll, crt_strncmp),
    CRT_AS(_stricoll, crt__stricmp),
    CRT_AS(_strnicoll, crt__strnicmp),
    CRT_FN(strxfrm),
    CRT_FN(_strlwr),
    CRT_FN(_strupr),
    CRT_FN(_strlwr_s),
    CRT_FN(_strupr_s),
    CRT_FN(_strrev),
    CRT_FN(_strset),
    CRT_FN(_strnset),
    CRT_FN(_strset_s),
    CRT_FN(_strnset_s),
    CRT_FN(strcpy_s),
    CRT_FN(strncpy_s),
    CRT_FN(strcat_s),
    CRT_FN(strncat_s),
};
CRT_FAMILY(crt_string_family, functions);

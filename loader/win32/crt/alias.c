/*
 * Rules for names that mean another function (alias.h).
 *
 * _X_l takes a locale behind X's arguments: cdecl functions do not mind an argument more, and the
 * current locale is used instead (locale.c). _X_nolock is X. _o_X is what API sets call X. The code
 * page is a single-byte one, so _mbsX is strX.
 */
#include "loader/win32/crt/alias.h"

#include <stdio.h>
#include <string.h>

#include "loader/win32/crt/internal.h"

static const struct {
    const char *name, *function;
} multibyte[] = {
    {"_ismbbalnum", "isalnum"},   {"_ismbbalpha", "isalpha"},    {"_ismbbgraph", "isgraph"},
    {"_ismbblead", "isleadbyte"}, {"_ismbbprint", "isprint"},    {"_ismbbpunct", "ispunct"},
    {"_ismbcalnum", "isalnum"},   {"_ismbcalpha", "isalpha"},    {"_ismbcdigit", "isdigit"},
    {"_ismbcgraph", "isgraph"},   {"_ismbclower", "islower"},    {"_ismbcprint", "isprint"},
    {"_ismbcpunct", "ispunct"},   {"_ismbcspace", "isspace"},    {"_ismbcupper", "isupper"},
    {"_mbctolower", "tolower"},   {"_mbctoupper", "toupper"},    {"_mbscat", "strcat"},
    {"_mbscat_s", "strcat_s"},    {"_mbschr", "strchr"},         {"_mbscmp", "strcmp"},
    {"_mbscoll", "strcoll"},      {"_mbscpy", "strcpy"},         {"_mbscpy_s", "strcpy_s"},
    {"_mbscspn", "strcspn"},      {"_mbsdup", "_strdup"},        {"_mbsicmp", "_stricmp"},
    {"_mbsicoll", "_stricoll"},   {"_mbslen", "strlen"},         {"_mbslwr", "_strlwr"},
    {"_mbslwr_s", "_strlwr_s"},   {"_mbsnbcat", "strncat"},      {"_mbsnbcat_s", "strncat_s"},
    {"_mbsnbcmp", "strncmp"},     {"_mbsnbcoll", "_strncoll"},   {"_mbsnbcpy", "strncpy"},
    {"_mbsnbcpy_s", "strncpy_s"}, {"_mbsnbicmp", "_strnicmp"},   {"_mbsnbicoll", "_strnicoll"},
    {"_mbsnbset", "_strnset"},    {"_mbsnbset_s", "_strnset_s"}, {"_mbsncat", "strncat"},
    {"_mbsncat_s", "strncat_s"},  {"_mbsncmp", "strncmp"},       {"_mbsncoll", "_strncoll"},
    {"_mbsncpy", "strncpy"},      {"_mbsncpy_s", "strncpy_s"},   {"_mbsnicmp", "_strnicmp"},
    {"_mbsnicoll", "_strnicoll"}, {"_mbsnlen", "strnlen"},       {"_mbsnset", "_strnset"},
    {"_mbsnset_s", "_strnset_s"}, {"_mbspbrk", "strpbrk"},       {"_mbsrchr", "strrchr"},
    {"_mbsrev", "_strrev"},       {"_mbsset", "_strset"},        {"_mbsset_s", "_strset_s"},
    {"_mbsspn", "strspn"},        {"_mbsstr", "strstr"},         {"_mbstok", "strtok"},
    {"_mbstok_s", "strtok_s"},    {"_mbstrlen", "strlen"},       {"_mbstrnlen", "strnlen"},
    {"_mbsupr", "_strupr"},       {"_mbsupr_s", "_strupr_s"},
};

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* `name` without `suffix` and its first `skip` characters. */
static bool strip(const char *name, const char *suffix, size_t skip, char *out, size_t room)
{
    size_t length = strlen(name), tail = strlen(suffix);
    if (length <= tail + skip || strcmp(name + length - tail, suffix) != 0) {
        return false;
    }
    return (size_t)snprintf(out, room, "%.*s", (int)(length - tail - skip), name + skip) < room;
}

bool crt_alias(const char *name, unsigned rule, char *out, size_t room)
{
    /* The locale stands before the variable arguments there: these have functions of their own. */
    bool variadic = strstr(name, "printf") != NULL || strstr(name, "scanf") != NULL;
    switch (rule) {
    case 0:
        return has_prefix(name, "_o_") && strip(name, "", 3, out, room);
    case 1: /* _wcsicmp_l -> _wcsicmp */
        return !variadic && strip(name, "_l", 0, out, room);
    case 2: /* _isalpha_l -> isalpha */
        return !variadic && name[0] == '_' && strip(name, "_l", 1, out, room);
    case 3: /* _fread_nolock -> fread */
        return name[0] == '_' && strip(name, "_nolock", 1, out, room);
    case 4: /* _fseeki64_nolock -> _fseeki64 */
        return strip(name, "_nolock", 0, out, room);
    case 5:
        for (size_t i = 0; i < CRT_COUNT(multibyte); i++) {
            if (strcmp(multibyte[i].name, name) == 0) {
                return (size_t)snprintf(out, room, "%s", multibyte[i].function) < room;
            }
        }
        return false;
    default:
        return false;
    }
}

/*
 * Character classes: is*, isw*, to*, tow*, and the _pctype table that the macros of ctype.h index.
 *
 * Narrow classes are the "C" locale's (ASCII); wide ones come from the Unicode tables in every
 * locale, as iswctype does on Windows.
 */
#include "loader/win32/crt/ctype.h"

#include "loader/win32/crt/internal.h"

/* clang-format off */
const uint16_t crt_ctype_table[257] = {
    [1 ... 9] = 0x20,
    [10 ... 14] = 0x28, /* a tab is blank, but not printable: isblank() knows it */
    [15 ... 32] = 0x20,
    [33] = 0x48,
    [34 ... 48] = 0x10,
    [49 ... 58] = 0x84,
    [59 ... 65] = 0x10,
    [66 ... 71] = 0x181,
    [72 ... 91] = 0x101,
    [92 ... 97] = 0x10,
    [98 ... 103] = 0x182,
    [104 ... 123] = 0x102,
    [124 ... 127] = 0x10,
    [128] = 0x20,
};
/* clang-format on */

static unsigned class_of(int c)
{
    return c >= -1 && c <= 255 ? crt_ctype_table[c + 1] : 0;
}

static WINCDECL_DEF int crt_isalpha(int c)
{
    return (int)(class_of(c) & CRT_ALPHA);
}

static WINCDECL_DEF int crt_iswalpha(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_ALPHA);
}

static WINCDECL_DEF int crt_isupper(int c)
{
    return (int)(class_of(c) & CRT_UPPER);
}

static WINCDECL_DEF int crt_iswupper(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_UPPER);
}

static WINCDECL_DEF int crt_islower(int c)
{
    return (int)(class_of(c) & CRT_LOWER);
}

static WINCDECL_DEF int crt_iswlower(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_LOWER);
}

static WINCDECL_DEF int crt_isdigit(int c)
{
    return (int)(class_of(c) & CRT_DIGIT);
}

static WINCDECL_DEF int crt_iswdigit(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_DIGIT);
}

static WINCDECL_DEF int crt_isxdigit(int c)
{
    return (int)(class_of(c) & CRT_HEX);
}

static WINCDECL_DEF int crt_iswxdigit(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_HEX);
}

static WINCDECL_DEF int crt_isspace(int c)
{
    return (int)(class_of(c) & CRT_SPACE);
}

static WINCDECL_DEF int crt_iswspace(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_SPACE);
}

static WINCDECL_DEF int crt_ispunct(int c)
{
    return (int)(class_of(c) & CRT_PUNCT);
}

static WINCDECL_DEF int crt_iswpunct(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_PUNCT);
}

static WINCDECL_DEF int crt_isalnum(int c)
{
    return (int)(class_of(c) & CRT_ALNUM);
}

static WINCDECL_DEF int crt_iswalnum(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_ALNUM);
}

static WINCDECL_DEF int crt_isprint(int c)
{
    return (int)(class_of(c) & CRT_PRINT);
}

static WINCDECL_DEF int crt_iswprint(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_PRINT);
}

static WINCDECL_DEF int crt_isgraph(int c)
{
    return (int)(class_of(c) & CRT_GRAPH);
}

static WINCDECL_DEF int crt_iswgraph(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_GRAPH);
}

static WINCDECL_DEF int crt_iscntrl(int c)
{
    return (int)(class_of(c) & CRT_CONTROL);
}

static WINCDECL_DEF int crt_iswcntrl(crt_wchar c)
{
    return (int)(crt_wclass(c) & CRT_CONTROL);
}

static WINCDECL_DEF int crt_isblank(int c)
{
    return c == '\t' ? CRT_BLANK : (int)(class_of(c) & CRT_BLANK);
}

static WINCDECL_DEF int crt_iswblank(crt_wchar c)
{
    return c == '\t' ? CRT_BLANK : (int)(crt_wclass(c) & CRT_BLANK);
}

static WINCDECL_DEF int crt_isleadbyte(int c)
{
    return (int)(class_of(c) & CRT_LEADBYTE);
}

static WINCDECL_DEF int crt__isctype(int c, int mask)
{
    return (int)(class_of(c) & (unsigned)mask);
}

static WINCDECL_DEF int crt_iswctype(crt_wchar c, uint16_t mask)
{
    return (int)(crt_wclass(c) & mask);
}

static WINCDECL_DEF int crt___isascii(int c)
{
    return (unsigned)c < 128;
}

static WINCDECL_DEF int crt_iswascii(crt_wchar c)
{
    return c < 128;
}

static WINCDECL_DEF int crt___toascii(int c)
{
    return c & 127;
}

static WINCDECL_DEF int crt___iscsymf(int c)
{
    return (class_of(c) & CRT_ALPHA) != 0 || c == '_';
}

static WINCDECL_DEF int crt___iscsym(int c)
{
    return (class_of(c) & CRT_ALNUM) != 0 || c == '_';
}

static WINCDECL_DEF int crt___iswcsymf(crt_wchar c)
{
    return (crt_wclass(c) & CRT_ALPHA) != 0 || c == '_';
}

static WINCDECL_DEF int crt___iswcsym(crt_wchar c)
{
    return (crt_wclass(c) & CRT_ALNUM) != 0 || c == '_';
}

static WINCDECL_DEF int crt_tolower(int c)
{
    return crt_lower(c);
}

static WINCDECL_DEF int crt_toupper(int c)
{
    return crt_upper(c);
}

/* _tolower and _toupper do not check what they are given. */
static WINCDECL_DEF int crt__tolower(int c)
{
    return c + 32;
}

static WINCDECL_DEF int crt__toupper(int c)
{
    return c - 32;
}

static WINCDECL_DEF crt_wchar crt_towlower(crt_wchar c)
{
    return crt_wlower(c);
}

static WINCDECL_DEF crt_wchar crt_towupper(crt_wchar c)
{
    return crt_wupper(c);
}

/* wctype("alpha") and wctrans("tolower"): the answers are what iswctype and towctrans take. */
static WINCDECL_DEF uint16_t crt_wctype(const char *name)
{
    static const struct {
        const char *name;
        uint16_t mask;
    } classes[] = {
        {"alnum", CRT_ALNUM}, {"alpha", CRT_ALPHA}, {"blank", CRT_BLANK}, {"cntrl", CRT_CONTROL},
        {"digit", CRT_DIGIT}, {"graph", CRT_GRAPH}, {"lower", CRT_LOWER}, {"print", CRT_PRINT},
        {"punct", CRT_PUNCT}, {"space", CRT_SPACE}, {"upper", CRT_UPPER}, {"xdigit", CRT_HEX},
    };
    for (size_t i = 0; i < CRT_COUNT(classes); i++) {
        if (strcmp(classes[i].name, name) == 0) {
            return classes[i].mask;
        }
    }
    return 0;
}

static WINCDECL_DEF crt_wchar crt_wctrans(const char *name)
{
    return strcmp(name, "tolower") == 0 ? 1 : strcmp(name, "toupper") == 0 ? 2 : 0;
}

static WINCDECL_DEF crt_wchar crt_towctrans(crt_wchar c, crt_wchar map)
{
    return map == 1 ? crt_wlower(c) : crt_wupper(c);
}

static WINCDECL_DEF const uint16_t *crt___pctype_func(void)
{
    return crt_ctype_table + 1;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(isalpha),       CRT_FN(iswalpha),  CRT_FN(isupper),    CRT_FN(iswupper),
    CRT_FN(islower),       CRT_FN(iswlower),  CRT_FN(isdigit),    CRT_FN(iswdigit),
    CRT_FN(isxdigit),      CRT_FN(iswxdigit), CRT_FN(isspace),    CRT_FN(iswspace),
    CRT_FN(ispunct),       CRT_FN(iswpunct),  CRT_FN(isalnum),    CRT_FN(iswalnum),
    CRT_FN(isprint),       CRT_FN(iswprint),  CRT_FN(isgraph),    CRT_FN(iswgraph),
    CRT_FN(iscntrl),       CRT_FN(iswcntrl),  CRT_FN(isblank),    CRT_FN(iswblank),
    CRT_FN(isleadbyte),    CRT_FN(_isctype),  CRT_FN(iswctype),   CRT_AS(is_wctype, crt_iswctype),
    CRT_FN(__isascii),     CRT_FN(iswascii),  CRT_FN(__toascii),  CRT_FN(__iscsym),
    CRT_FN(__iscsymf),     CRT_FN(__iswcsym), CRT_FN(__iswcsymf), CRT_FN(tolower),
    CRT_FN(toupper),       CRT_FN(_tolower),  CRT_FN(_toupper),   CRT_FN(towlower),
    CRT_FN(towupper),      CRT_FN(wctype),    CRT_FN(wctrans),    CRT_FN(towctrans),
    CRT_FN(__pctype_func),
};
CRT_FAMILY(crt_ctype_family, functions);

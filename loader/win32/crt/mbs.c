/*
 * _mbs* functions that have no str* twin (alias.c has the others), for a single-byte code page: a
 * character is a byte, and there are no lead bytes.
 */
#include "loader/win32/crt/internal.h"

static WINCDECL_DEF unsigned char *crt__mbsinc(const unsigned char *at)
{
    return (unsigned char *)at + 1;
}

static WINCDECL_DEF unsigned char *crt__mbsdec(const unsigned char *start, const unsigned char *at)
{
    return at > start ? (unsigned char *)at - 1 : NULL;
}

static WINCDECL_DEF unsigned char *crt__mbsninc(const unsigned char *at, size_t count)
{
    return at != NULL ? (unsigned char *)at + strnlen((const char *)at, count) : NULL;
}

static WINCDECL_DEF unsigned crt__mbsnextc(const unsigned char *at)
{
    return *at;
}

static WINCDECL_DEF size_t crt__mbclen(const unsigned char *at)
{
    return 1;
}

static WINCDECL_DEF void crt__mbccpy(unsigned char *to, const unsigned char *from)
{
    *to = *from;
}

/* Bytes in the first `count` characters, and characters in the first `count` bytes. */
static WINCDECL_DEF size_t crt__mbsnbcnt(const unsigned char *at, size_t count)
{
    return at != NULL ? strnlen((const char *)at, count) : 0;
}

static WINCDECL_DEF unsigned char *crt__mbsspnp(const unsigned char *at, const unsigned char *set)
{
    at += strspn((const char *)at, (const char *)set);
    return *at != 0 ? (unsigned char *)at : NULL;
}

/* _MBC_SINGLE 0, _MBC_ILLEGAL -1 */
static WINCDECL_DEF int crt__mbsbtype(const unsigned char *at, size_t offset)
{
    return strnlen((const char *)at, offset + 1) > offset ? 0 : -1;
}

static WINCDECL_DEF int crt__mbbtype(unsigned char c, int previous)
{
    return 0;
}

/* No byte of a single-byte code page is a lead or trail byte, kana, or kanji. */
static WINCDECL_DEF int crt__ismbclegal(unsigned c)
{
    return 0;
}

static WINCDECL_DEF unsigned crt__mbbtombc(unsigned c)
{
    return c;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_mbsinc),
    CRT_FN(_mbsdec),
    CRT_FN(_mbsninc),
    CRT_FN(_mbsnextc),
    CRT_FN(_mbclen),
    CRT_FN(_mbccpy),
    CRT_FN(_mbsnbcnt),
    CRT_AS(_mbsnccnt, crt__mbsnbcnt),
    CRT_FN(_mbsspnp),
    CRT_FN(_mbsbtype),
    CRT_FN(_mbbtype),
    CRT_FN(_ismbclegal),
    CRT_AS(_ismbslead, crt__ismbclegal),
    CRT_AS(_ismbstrail, crt__ismbclegal),
    CRT_AS(_ismbbkana, crt__ismbclegal),
    CRT_AS(_ismbbkalnum, crt__ismbclegal),
    CRT_AS(_ismbbkprint, crt__ismbclegal),
    CRT_AS(_ismbbkpunct, crt__ismbclegal),
    CRT_AS(_ismbchira, crt__ismbclegal),
    CRT_AS(_ismbckata, crt__ismbclegal),
    CRT_AS(_ismbcsymbol, crt__ismbclegal),
    CRT_AS(_ismbcl0, crt__ismbclegal),
    CRT_AS(_ismbcl1, crt__ismbclegal),
    CRT_AS(_ismbcl2, crt__ismbclegal),
    CRT_FN(_mbbtombc),
    CRT_AS(_mbctombb, crt__mbbtombc),
    CRT_AS(_mbcjistojms, crt__mbbtombc),
    CRT_AS(_mbcjmstojis, crt__mbbtombc),
    CRT_AS(_mbctohira, crt__mbbtombc),
    CRT_AS(_mbctokata, crt__mbbtombc),
};
CRT_FAMILY(crt_mbs_family, functions);

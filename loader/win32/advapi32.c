/*
 * ADVAPI32.dll: random numbers (RtlGenRandom and a CryptoAPI context that does nothing else) and
 * the user's name. The registry is in registry.c.
 *
 * A context is for random numbers only, so it is one without keys (CRYPT_VERIFYCONTEXT); there is
 * no key store, and asking for one says that the key set does not exist.
 */
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/process.h"
#include "loader/win32/random.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/strings.h"

#define NTE_BAD_FLAGS         0x80090009u
#define NTE_BAD_PROV_TYPE     0x80090014u
#define NTE_BAD_KEYSET        0x80090016u
#define NTE_PROV_TYPE_NOT_DEF 0x80090017u
#define NTE_KEYSET_NOT_DEF    0x80090019u

#define CRYPT_VERIFYCONTEXT 0xF0000000u
#define CRYPT_SILENT        0x40u
#define CRYPT_NEWKEYSET     0x8u
#define CRYPT_MACHINE       0x20u
#define CRYPT_DELETEKEYSET  0x10u

/* SystemFunction036 is what the documented RtlGenRandom is exported as. */
static BOOLEAN WINAPI_DEF adv_SystemFunction036(void *buffer, ULONG size)
{
    return win32_random(buffer, size);
}

/* ---- CryptoAPI contexts ---- */

/* All contexts are alike: the handle is the address, and the count says how many are open. */
static unsigned open_contexts;

static bool is_context(const void *handle)
{
    return handle == &open_contexts && __atomic_load_n(&open_contexts, __ATOMIC_RELAXED);
}

/* The provider types that Windows registers: RSA_FULL, DSS, the Schannel and DH ones, RSA_AES. */
static uint32_t check_type(DWORD type)
{
    static const uint8_t known[] = {1, 3, 12, 13, 18, 24};
    if (type == 0 || type > 999)
        return NTE_BAD_PROV_TYPE;
    for (size_t i = 0; i < sizeof(known); i++)
        if (known[i] == type)
            return ERROR_SUCCESS;
    return NTE_PROV_TYPE_NOT_DEF;
}

static BOOL acquire(void **out, bool own_provider, DWORD type, DWORD flags)
{
    uint32_t error = check_type(type);
    DWORD known =
        CRYPT_VERIFYCONTEXT | CRYPT_SILENT | CRYPT_NEWKEYSET | CRYPT_MACHINE | CRYPT_DELETEKEYSET;
    if (!out)
        return win32_fail(ERROR_INVALID_PARAMETER);
    *out = NULL;
    if (!error && (flags & ~known))
        error = NTE_BAD_FLAGS;
    if (!error && !own_provider)
        error = NTE_KEYSET_NOT_DEF;
    if (!error && (flags & CRYPT_VERIFYCONTEXT) != CRYPT_VERIFYCONTEXT)
        error = NTE_BAD_KEYSET;
    if (error)
        return win32_fail(error);
    __atomic_add_fetch(&open_contexts, 1, __ATOMIC_RELAXED);
    *out = &open_contexts;
    return TRUE;
}

/* Microsoft's providers go by "Microsoft ..."; NULL and "" ask for the default of the type. */
static bool is_microsoft(const WCHAR *provider)
{
    static const WCHAR prefix[] = {'M', 'i', 'c', 'r', 'o', 's', 'o', 'f', 't', ' '};
    size_t length = sizeof(prefix) / sizeof(*prefix);
    return !provider || !provider[0] ||
           (win32_wlen(provider) > length && !win32_wnicmp(provider, prefix, length));
}

static BOOL WINAPI_DEF adv_CryptAcquireContextW(void **out, const WCHAR *container,
                                                const WCHAR *provider, DWORD type, DWORD flags)
{
    return acquire(out, is_microsoft(provider), type, flags);
}

static BOOL WINAPI_DEF adv_CryptAcquireContextA(void **out, const char *container,
                                                const char *provider, DWORD type, DWORD flags)
{
    WCHAR *wide;
    BOOL ok = win32_widen(provider, &wide) && acquire(out, is_microsoft(wide), type, flags);
    free(wide);
    return ok;
}

static BOOL WINAPI_DEF adv_CryptGenRandom(void *context, DWORD size, BYTE *buffer)
{
    if (!is_context(context) || (!buffer && size))
        return win32_fail(ERROR_INVALID_PARAMETER);
    return win32_random(buffer, size) || win32_fail(ERROR_GEN_FAILURE);
}

static BOOL WINAPI_DEF adv_CryptReleaseContext(void *context, DWORD flags)
{
    if (!is_context(context))
        return win32_fail(ERROR_INVALID_PARAMETER);
    __atomic_sub_fetch(&open_contexts, 1, __ATOMIC_RELAXED);
    return !flags || win32_fail(NTE_BAD_FLAGS); /* released nevertheless, as documented */
}

/* ---- the user ---- */

/* `*size` counts units with the NUL, both ways. */
static BOOL user_name(void *buffer, DWORD *size, bool wide)
{
    static const WCHAR variable[] = {'U', 'S', 'E', 'R', 'N', 'A', 'M', 'E'};
    if (!size)
        return win32_fail(ERROR_INVALID_PARAMETER);
    WCHAR *name = win32_getenv(variable, sizeof(variable) / sizeof(*variable));
    if (!name)
        return win32_fail(ERROR_NOT_FOUND);
    size_t length = win32_wlen(name);
    DWORD room = buffer ? *size : 0;
    DWORD got = wide ? win32_return_wide(name, length, buffer, room)
                     : win32_return_ansi(name, length, buffer, room);
    free(name);
    *size = got < room ? got + 1 : got;
    return got < room || win32_fail(ERROR_INSUFFICIENT_BUFFER);
}

static BOOL WINAPI_DEF adv_GetUserNameW(WCHAR *buffer, DWORD *size)
{
    return user_name(buffer, size, true);
}

static BOOL WINAPI_DEF adv_GetUserNameA(char *buffer, DWORD *size)
{
    return user_name(buffer, size, false);
}

const struct ldr_builtin_export advapi32_exports[] = {
    LDR_FN(adv_, SystemFunction036),    LDR_FN(adv_, CryptAcquireContextA),
    LDR_FN(adv_, CryptAcquireContextW), LDR_FN(adv_, CryptGenRandom),
    LDR_FN(adv_, CryptReleaseContext),  LDR_FN(adv_, GetUserNameA),
    LDR_FN(adv_, GetUserNameW),
};
const size_t advapi32_count = sizeof(advapi32_exports) / sizeof(*advapi32_exports);

/*
 * bcrypt.dll: random numbers. Every other algorithm is reported as not registered, the documented
 * answer of a system that lacks a provider.
 */
#include "loader/win32/errors.h"
#include "loader/win32/random.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/strings.h"

enum {
    BCRYPT_RNG_USE_ENTROPY_IN_BUFFER = 1, /* ignored since Windows 8 */
    BCRYPT_USE_SYSTEM_PREFERRED_RNG = 2,
};
#define BCRYPT_RNG_ALG_HANDLE ((HANDLE)(uintptr_t)0x81) /* a pseudo handle */

/* What handles of the generator point to; the provider has no state. */
static char rng_provider;

static bool is_rng(HANDLE handle)
{
    return handle == &rng_provider || handle == BCRYPT_RNG_ALG_HANDLE;
}

static nt_status WINAPI_DEF bc_BCryptOpenAlgorithmProvider(HANDLE *out, const WCHAR *algorithm,
                                                           const WCHAR *implementation, ULONG flags)
{
    static const WCHAR rng[] = {'R', 'N', 'G', 0};
    if (!out || !algorithm)
        return (nt_status)STATUS_INVALID_PARAMETER;
    *out = NULL;
    if (win32_wcmp(algorithm, rng))
        return (nt_status)STATUS_NOT_FOUND;
    *out = &rng_provider;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF bc_BCryptCloseAlgorithmProvider(HANDLE handle, ULONG flags)
{
    return handle == &rng_provider ? STATUS_SUCCESS : (nt_status)STATUS_INVALID_HANDLE;
}

static nt_status WINAPI_DEF bc_BCryptGenRandom(HANDLE handle, BYTE *buffer, ULONG size, ULONG flags)
{
    bool preferred = flags & BCRYPT_USE_SYSTEM_PREFERRED_RNG;
    if (flags & ~(ULONG)(BCRYPT_USE_SYSTEM_PREFERRED_RNG | BCRYPT_RNG_USE_ENTROPY_IN_BUFFER))
        return (nt_status)STATUS_INVALID_PARAMETER;
    if (preferred ? handle != NULL : !is_rng(handle))
        return (nt_status)STATUS_INVALID_HANDLE;
    if (!buffer && size)
        return (nt_status)STATUS_INVALID_PARAMETER;
    return win32_random(buffer, size) ? STATUS_SUCCESS : (nt_status)STATUS_UNSUCCESSFUL;
}

const struct ldr_builtin_export bcrypt_exports[] = {
    LDR_FN(bc_, BCryptOpenAlgorithmProvider),
    LDR_FN(bc_, BCryptCloseAlgorithmProvider),
    LDR_FN(bc_, BCryptGenRandom),
};
const size_t bcrypt_count = sizeof(bcrypt_exports) / sizeof(*bcrypt_exports);

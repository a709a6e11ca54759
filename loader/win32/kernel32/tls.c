/*
 * TlsAlloc and FlsAlloc families (processthreadsapi.h, fibersapi.h): last errors as documented; the
 * slots themselves are ke's, because compiled code reads them in the TEB.
 */
#include "loader/ke/slots.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"

enum { ERROR_NO_MORE_ITEMS = 259 };

static DWORD WINAPI_DEF k32_TlsAlloc(void)
{
    uint32_t index = ke_tls_alloc();
    if (index == KE_NO_SLOT)
        win32_fail(ERROR_NO_MORE_ITEMS);
    return index;
}

static BOOL WINAPI_DEF k32_TlsFree(DWORD index)
{
    return ke_tls_free(index) || win32_fail(ERROR_INVALID_PARAMETER);
}

/* The one Get function that clears the last error: NULL is a value. */
static void *WINAPI_DEF k32_TlsGetValue(DWORD index)
{
    struct ke_teb *teb = ke_teb();
    if (index >= KE_TLS_MAX)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    teb->LastErrorValue = ERROR_SUCCESS;
    return ke_tls_get(teb, index);
}

static BOOL WINAPI_DEF k32_TlsSetValue(DWORD index, void *value)
{
    if (index >= KE_TLS_MAX)
        return win32_fail(ERROR_INVALID_PARAMETER);
    return ke_tls_set(ke_teb(), index, value) || win32_fail(ERROR_NOT_ENOUGH_MEMORY);
}

static DWORD WINAPI_DEF k32_FlsAlloc(ke_fls_callback callback)
{
    uint32_t index = ke_fls_alloc(callback);
    if (index == KE_NO_SLOT)
        win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    return index;
}

static BOOL WINAPI_DEF k32_FlsFree(DWORD index)
{
    return ke_fls_free(index) || win32_fail(ERROR_INVALID_PARAMETER);
}

static void *WINAPI_DEF k32_FlsGetValue(DWORD index)
{
    struct ke_teb *teb = ke_teb();
    if (!ke_fls_valid(index))
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    teb->LastErrorValue = ERROR_SUCCESS;
    return ke_fls_get(teb, index);
}

/* The same without touching the last error (documented since Windows 11 24H2). */
static void *WINAPI_DEF k32_FlsGetValue2(DWORD index)
{
    return ke_fls_valid(index) ? ke_fls_get(ke_teb(), index) : NULL;
}

static BOOL WINAPI_DEF k32_FlsSetValue(DWORD index, void *value)
{
    if (!ke_fls_valid(index))
        return win32_fail(ERROR_INVALID_PARAMETER);
    return ke_fls_set(ke_teb(), index, value) || win32_fail(ERROR_NOT_ENOUGH_MEMORY);
}

static BOOL WINAPI_DEF k32_IsThreadAFiber(void)
{
    return FALSE;
}

const struct ldr_builtin_export kernel32_tls_exports[] = {
    LDR_FN(k32_, TlsAlloc),       LDR_FN(k32_, TlsFree),      LDR_FN(k32_, TlsGetValue),
    LDR_FN(k32_, TlsSetValue),    LDR_FN(k32_, FlsAlloc),     LDR_FN(k32_, FlsFree),
    LDR_FN(k32_, FlsGetValue),    LDR_FN(k32_, FlsGetValue2), LDR_FN(k32_, FlsSetValue),
    LDR_FN(k32_, IsThreadAFiber),
};
const size_t kernel32_tls_count = sizeof(kernel32_tls_exports) / sizeof(*kernel32_tls_exports);

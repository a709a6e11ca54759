/*
 * A delay import of low.dll: the loader must leave it alone, and the first call binds it through
 * the helper below, which does what Microsoft documents for __delayLoadHelper2.
 */
#include "sample.h"

SAMPLE_NO_CRT

IMPORT HMODULE WINAPI LoadLibraryA(const char *name);
IMPORT HMODULE WINAPI GetModuleHandleA(const char *name);
IMPORT void *WINAPI GetProcAddress(HMODULE module, const char *name);
int low_value(void);

extern BYTE __ImageBase;

struct delay_descriptor {
    DWORD attributes, name, module_handle, iat, names, bound_iat, unload_iat, time_stamp;
};

static int helper_calls;

void *WINAPI __delayLoadHelper2(const struct delay_descriptor *descriptor, void **slot)
{
    BYTE *base = &__ImageBase;
    HMODULE *module = (HMODULE *)(base + descriptor->module_handle);
    void **iat = (void **)(base + descriptor->iat);
    void **names = (void **)(base + descriptor->names);
    unsigned long long entry = (unsigned long long)(__SIZE_TYPE__)names[slot - iat];

    helper_calls++;
    if (!*module)
        *module = LoadLibraryA((const char *)base + descriptor->name);
    return *slot = GetProcAddress(*module, (const char *)base + (DWORD)entry + 2);
}

BOOL WINAPI DllMain(HMODULE module, DWORD reason, void *reserved)
{
    return 1;
}

EXPORT int low_is_loaded(void)
{
    return GetModuleHandleA("low.dll") != 0;
}

EXPORT int delayed_value(void)
{
    return low_value() + low_value();
}

EXPORT int times_bound(void)
{
    return helper_calls;
}

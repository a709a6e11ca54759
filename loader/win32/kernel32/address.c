/*
 * WaitOnAddress. KERNELBASE exports it and KERNEL32 does not, so this is a family of the former.
 */
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/locks.h"

enum { ERROR_TIMEOUT = 1460 };

static BOOL WINAPI_DEF k32_WaitOnAddress(const volatile void *address, const void *compare,
                                         SIZE_T size, DWORD milliseconds)
{
    if (size != 1 && size != 2 && size != 4 && size != 8)
        return win32_fail(ERROR_INVALID_PARAMETER);
    return win32_address_wait(address, compare, size, milliseconds) || win32_fail(ERROR_TIMEOUT);
}

const struct ldr_builtin_export kernelbase_address_exports[] = {
    LDR_FN(k32_, WaitOnAddress),
    LDR_FWD(WakeByAddressAll, "NTDLL.RtlWakeAddressAll"),
    LDR_FWD(WakeByAddressSingle, "NTDLL.RtlWakeAddressSingle"),
};
const size_t kernelbase_address_count =
    sizeof(kernelbase_address_exports) / sizeof(*kernelbase_address_exports);
